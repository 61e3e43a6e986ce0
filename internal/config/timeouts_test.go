package config

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
)

// Each time-out and each bound of one attempt is found in every scope, under each of its
// names, and reaches the session that it is for.
func TestTimeoutsInEveryScope(t *testing.T) {
	s := func(q *policy.Queue) *policy.Session { return q.Session }
	options := map[string]func(*policy.Queue) time.Duration{
		"connect_timeout":    func(q *policy.Queue) time.Duration { return s(q).ConnectTimeout },
		"greeting_timeout":   func(q *policy.Queue) time.Duration { return s(q).GreetingTimeout },
		"tls_timeout":        func(q *policy.Queue) time.Duration { return s(q).TLSTimeout },
		"ehlo_timeout":       func(q *policy.Queue) time.Duration { return s(q).EHLOTimeout },
		"mailfrom_timeout":   func(q *policy.Queue) time.Duration { return s(q).MailTimeout },
		"mail-from":          func(q *policy.Queue) time.Duration { return s(q).MailTimeout },
		"rcptto_timeout":     func(q *policy.Queue) time.Duration { return s(q).RcptTimeout },
		"rcpt-to":            func(q *policy.Queue) time.Duration { return s(q).RcptTimeout },
		"data_timeout":       func(q *policy.Queue) time.Duration { return s(q).DataTimeout },
		"data_block_timeout": func(q *policy.Queue) time.Duration { return s(q).DataBlockTimeout },
		"body_timeout":       func(q *policy.Queue) time.Duration { return s(q).BodyTimeout },
		"mta_sts_timeout":    func(q *policy.Queue) time.Duration { return s(q).MTASTSTimeout },
		"mx":                 func(q *policy.Queue) time.Duration { return time.Duration(q.MaxMXHosts) * time.Second },
		"max_mx_hosts":       func(q *policy.Queue) time.Duration { return time.Duration(q.MaxMXHosts) * time.Second },
		"multihomed":         func(q *policy.Queue) time.Duration { return time.Duration(q.MaxAddressesPerHost) * time.Second },
	}
	// Most specific first; the value that is set there wins over those set further down.
	places := []string{
		`Binding_Group "g" { Binding "b" { Domain "one.test" { %s } } }`,
		`Binding_Group "g" { Domain "one.test" { %s } Binding "b" { } }`,
		`Binding_Group "g" { Binding "b" { %s } }`,
		`Binding_Group "g" { %s Binding "b" { } }`,
		`Domain "one.test" { %s }`,
		`%s`,
	}
	for option, get := range options {
		for most := range places {
			text := `Binding_Group "g" { Binding "b" { } }` + "\n"
			for i := most; i < len(places); i++ {
				text += fmt.Sprintf(places[i], fmt.Sprintf("%s = %d", option, i+1)) + "\n"
			}
			snap, diags := (&Loader{Hostname: "mx.test"}).Parse("sluice.conf", text)
			if snap == nil {
				t.Fatalf("%s: %v", option, diags)
			}
			if got, want := get(snap.Queue("b", "one.test")), time.Duration(most+1)*time.Second; got != want {
				t.Errorf("%s set in place %d and below: %v, want %v in\n%s", option, most, got, want, text)
			}
		}
	}
	defaults := policy.New("mx.test").Queue("default", "one.test")
	for option, get := range options {
		if get(defaults) <= 0 {
			t.Errorf("%s has no default", option)
		}
	}
	if q := defaults.Session; q.BodyTimeout != 10*time.Minute || q.DataBlockTimeout != 3*time.Minute {
		t.Errorf("the body has %v a block, the final dot %v", q.DataBlockTimeout, q.BodyTimeout)
	}
}
