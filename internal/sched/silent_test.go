package sched

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

// A host whose only session falls silent before it has taken anything is left alone, and the
// next one has its turn; one that takes mail in another session, or has taken some, is not.
func TestSilentHostIsLeftAlone(t *testing.T) {
	for name, x := range map[string]struct {
		class    ConnectClass
		outcome  mail.Class
		another  bool
		nextHost string
	}{
		"silent":                         {ConnectHost, mail.ClassDeferred, false, "b.test"},
		"silent after a delivery":        {ConnectHost, mail.ClassDelivered, false, "a.test"},
		"silent, in order to another":    {ConnectHost, mail.ClassDeferred, true, "a.test"},
		"put the message off and closed": {ConnectOK, mail.ClassDeferred, false, "a.test"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p := testPolicy(bd(2))
			hosts := []RouteHost{mx("a.test", 10, "192.0.2.1"), mx("b.test", 20, "192.0.2.2")}
			r.submit(p, "one.test", 1)
			c := only[Connect](t, r.resolve("one.test", hosts...))
			r.step(Connected{Conn: c.Conn})
			d := only[Deliver](t, r.step(Wants{c.Conn, 1}))
			if x.another {
				r.step(Connected{Conn: only[Connect](t, r.submit(p, "one.test", 1)).Conn})
			}
			r.step(Attempted{Conn: c.Conn, Part: d.Part, Outcomes: outcome(d, x.outcome)})
			actions := r.step(Closed{Conn: c.Conn, Class: x.class, Reply: mail.Reply{Text: "timed out"}})
			if x.another {
				if r.places.at(r.placeOf[placeKey{"a.test", c.Address, 25}]).failed > r.now {
					t.Error("the host is left alone")
				}
				return
			}
			next := find[Connect](append(actions, r.submit(p, "one.test", 1)...))
			if x.outcome == mail.ClassDelivered { // nothing was left, so the route was forgotten
				next = find[Connect](r.resolve("one.test", hosts...))
			}
			if len(next) != 1 || next[0].Host != x.nextHost {
				t.Errorf("got %s, want a connection to %s", show(r.log), x.nextHost)
			}
		})
	}
}
