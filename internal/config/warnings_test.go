package config

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

func TestWarnings(t *testing.T) {
	for conf, want := range map[string]string{
		"Domain a.test { max_outbound_connections = 0 }":                               "1:17: warning: max_outbound_connections = 0 admits no connection at all; suspend_delivery",
		"Binding a { bind_address = 10.0.0.1 }\nBinding b { bind_address = 10.0.0.1 }": `2:1: warning: bindings "b" and "a" (t.conf:1) share the source address 10.0.0.1`,
		"server_max_outbound_connections = 1000":                                       "1:1: warning: server_reserve_outbound_connections = 200 is a tenth of server_max_outbound_connections = 1000 or more",
		"server_reserve_outbound_connections = 100000":                                 "1:1: warning: server_reserve",
		"Domain a.test { cluster_scope_max_outbound_connections = 5 }":                 "1:17: warning: cluster_scope_max_outbound_connections without a cluster stanza",
		"cluster { node = a }\ncluster_max_outbound_connections = 5":                   "2:1: warning: cluster_max_outbound_connections: holds on each node alone",
		"dkim = on": "1:1: warning: dkim is on and no dkim_key is set",
		"server_max_outbound_connections = 5000\noutbound_throttle_messages = 5":                 "",
		"cluster_outbound_throttle_messages = 5":                                                 "1:1: warning: cluster_outbound_throttle_messages without a cluster stanza",
		"Rollup g { }":                                                                           `1:1: warning: rollup "g" has no mx patterns`,
		"dns { zone_file = z resolver = 127.0.0.1 }":                                             "1:1: warning: zone_file and resolver are both set",
		"Binding_Group a { Binding a { } }":                                                      `1:1: warning: "a" names a binding_group and a binding`,
		"ESMTP_Listener { Listen \"*:25\" { relay_networks = ( 10.0.0.0/8 0.0.0.0/0 ) } }":       "1:18: warning: relay_networks has 0.0.0.0/0: everyone who reaches :25 may send",
		"HTTP_Listener { Listen 127.0.0.1:8080 { } }":                                            "1:1: warning: http_listener: mail is not taken by HTTP yet",
		"max_outbound_connections = 5":                                                           "1:1: warning: the limits allow 75200 outbound connections",
		"server_max_outbound_connections = -1 ESMTP_Listener { } Control_Listener { }":           "1:1: warning: the connections of the server are unlimited, and the system gives 20000 open files",
		"scope_max_outbound_connections = 30000\nserver_reserve_outbound_connections = 99999":    "1:1: warning: the limits allow 30000",
		"Binding a { bind_address = 10.0.0.1 }\nserver_max_outbound_connections = 5000":          "",
		"server_max_outbound_connections = 5000\nDomain a.test { max_outbound_connections = 9 }": "",
	} {
		stat := func(string) (fs.FileInfo, error) { return nil, nil }
		snap, diags := (&Loader{Hostname: "mta.test", Files: 20000, Stat: stat}).Parse("t.conf", conf)
		if snap == nil {
			t.Errorf("%q: %v", conf, diags.Err())
			continue
		}
		found := want == "" && len(diags) == 0
		for _, d := range diags {
			found = found || (want != "" && strings.HasPrefix(d.String(), "t.conf:"+want))
		}
		if !found {
			t.Errorf("%q: no %q in\n%s", conf, want, diagText(diags))
		}
	}
}

func TestControlIsNotForTheWorld(t *testing.T) {
	for address, good := range map[string]bool{
		"unix:/run/c.sock": true, "127.0.0.1:8025": true, "127.9.9.9:1": true, "[::1]:8025": true, "localhost:8025": true,
		"*:8025": false, "0.0.0.0:8025": false, "192.0.2.1:8025": false, "[::]:8025": false, "mta.example:8025": false,
	} {
		_, diags := (&Loader{Hostname: "mta.test"}).Parse("t.conf", `Control_Listener { Listen "`+address+`" { } }`)
		if diags.HasErrors() == good || !good && !strings.Contains(diagText(diags), "t.conf:1:20: error: ") {
			t.Errorf("%s: %s", address, diagText(diags))
		}
	}
}

func TestListeners(t *testing.T) {
	snap := parseOK(t, `
		ESMTP_Listener { max_recipients = 7 tenant = out
			Listen 127.0.0.1:2525 { binding_header = on } Listen "*:25" { tenant = in max_sessions = 9 auth = required } }
		ESMTP_Listener { Listen "[::1]:25" { } }
		Control_Listener { Listen unix:run/c.sock { } }`)
	ls := snap.Listeners
	if len(ls) != 4 {
		t.Fatalf("%+v", ls)
	}
	if l := ls[0]; l.Address != "127.0.0.1:2525" || l.MaxRecipients != 7 || l.Tenant != "out" || !l.BindingHeader || l.MaxSessions != 2000 || l.MaxMessageSize != 50<<20 {
		t.Errorf("%+v", l)
	}
	if l := ls[1]; l.Address != ":25" || l.Tenant != "in" || l.MaxSessions != 9 || l.Auth != policy.AuthRequired || l.MaxRecipients != 7 {
		t.Errorf("%+v", l)
	}
	if l := ls[2]; l.MaxRecipients != 1000 || l.Tenant != "" {
		t.Errorf("the options of one listener reach another: %+v", l)
	}
	if ls[3].Address != "unix:run/c.sock" {
		t.Errorf("%+v", ls[3])
	}
	if snap := parseOK(t, "ESMTP_Listener { } Control_Listener { }"); len(snap.Listeners) != 0 {
		t.Errorf("empty stanzas mean none: %+v", snap.Listeners)
	}
}
