package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/policy"
)

// What is wrong with logins and proxies is said where they are set.
func TestEgressFindings(t *testing.T) {
	for conf, want := range map[string]string{
		`gateway = relay.test auth_user = us auth_password = secret`:                                  "",
		`routes = ( smtps://relay.test ) auth_user = us auth_password = secret`:                       "",
		`gateway = relay.test tls = no auth_user = us auth_password = secret auth_security = none`:    "",
		`gateway = relay.test tls = no auth_user = us auth_password = secret`:                         "error: auth_user with tls = no",
		`gateway = relay.test auth_user = us`:                                                         "error: auth_user without auth_password",
		`auth_password = secret`:                                                                      "error: auth_password without auth_user",
		`auth_user = us auth_password = secret`:                                                       "warning: auth_user without a gateway or routes",
		`gateway = relay.test auth_user = us auth_password = secret auth_security = some`:             `"some" is not a choice`,
		`Binding b { proxy = "socks5://192.0.2.1:1080" }`:                                             "",
		`Binding b { proxy = "SOCKS5://[2001:db8::1]:1080" proxy_user = us proxy_password = secret }`: "",
		`Binding b { proxy = "haproxy://192.0.2.1:5000" proxy_user = us proxy_password = secret }`:    "error: proxy_user: only socks5:// proxies take a login",
		`Binding b { proxy = "socks5://192.0.2.1:1080" proxy_user = us }`:                             "proxy_user and proxy_password belong together",
		`Binding b { proxy_user = us proxy_password = secret }`:                                       "error: proxy_user without a proxy beside it",
		`Binding b { proxy = "socks5://proxy.test:1080" }`:                                            "what follows must be ADDRESS:PORT",
		`Binding b { proxy = "http://192.0.2.1:1080" }`:                                               "names neither socks5:// nor haproxy://",
		`Domain one.test { proxy = "socks5://192.0.2.1:1080" }`:                                       "proxy",
		`gateway = lmtp://store.test`:                                                                 "",
		`gateway = http://store.test`:                                                                 "error: gateway",
	} {
		_, diags := (&Loader{Hostname: "mta.test"}).Parse("t.conf", conf)
		if text := fmt.Sprint(diags); want == "" && len(diags) > 0 || !strings.Contains(text, want) {
			t.Errorf("%s\ngot  %s\nwant %s", conf, text, want)
		}
	}
}

// MX hosts are told no login, and the login is never printed.
func TestLoginIsKept(t *testing.T) {
	snap, diags := (&Loader{Hostname: "mta.test"}).Parse("t.conf", `
		auth_user = us auth_password = verysecret
		Domain one.test { gateway = relay.test }
		Binding b { proxy = "socks5://192.0.2.1:1080" proxy_user = us proxy_password = verysecret }`)
	if snap == nil {
		t.Fatal(diags)
	}
	if s := snap.Queue("default", "two.test").Session; s.Auth != (policy.Auth{}) || s.Proxy.Kind != policy.NoProxy {
		t.Errorf("an MX host is told %+v", s.Auth)
	}
	s := snap.Queue("b", "one.test").Session
	if s.Auth.User != "us" || s.Auth.Password.Value != "verysecret" || s.Proxy.Kind != policy.ProxySOCKS5 || s.Proxy.Password.Value != "verysecret" {
		t.Errorf("the gateway is told %+v", s.Auth)
	}
	if text := snap.Show(true).String() + fmt.Sprintf("%v %+v", s.Auth, s.Proxy); strings.Contains(text, "verysecret") {
		t.Error("the password is printed")
	}
}
