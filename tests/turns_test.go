package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
	"github.com/sluice-mta/sluice/tests/rig"
)

// TestReceiverThatDoesNotDoWhatItOffers takes a chunk for nonsense. The message arrives once, by
// DATA, without waiting for a retry; and the operator is told.
func TestReceiverThatDoesNotDoWhatItOffers(t *testing.T) {
	const offers = "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
	receiver := smtptest.Serve(t,
		offers+"C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 250 ok\nC: BDAT*\nS: 502 5.5.2 what?\nclose!",
		offers+"C: MAIL*\nC: RCPT*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: Received*\n"+
			strings.Repeat("C: \t*\n", 2)+"C: Subject: hi\nC:\nC: hi\nC: .\nS: 250 2.0.0 taken\nC: QUIT\nS: 221 bye\nclose")
	zone := rig.Zone{MX: map[string]string{"odd.test": "mx.odd.test"}, Hosts: map[string][]string{"mx.odd.test": {"127.0.0.1"}}}
	server := rig.NewServer(t, zone, receiver.Addr().Port, "idle_timeout = 5s\nretry_interval = ( 1h )\n").Start(t)
	c := dial(t, server.SMTP)
	defer c.Close()
	for _, step := range []string{"MAIL FROM:<>", "RCPT TO:<u@odd.test>", "DATA", "Subject: hi\r\n\r\nhi\r\n."} {
		if r := c.Cmd(step); r == "" || r[0] > '3' {
			t.Fatalf("%s: %q", step, r)
		}
	}
	rig.Until(t, 30*time.Second, "the message to be delivered", func() bool {
		r := zooRecords(t, server)["odd.test"]
		return len(r) == 1 && r[0].kind == "d"
	})
	for _, ask := range [][]string{{"domain", "odd.test"}, {"explain", "host:mx.odd.test"}} {
		if said := server.Ctl(t, ask...); !strings.Contains(said, "CHUNKING is offered and not done") || !strings.Contains(said, "502 5.5.2 what?") {
			t.Errorf("%v: %s", ask, said)
		}
	}
	server.Stop(t, 20*time.Second)
}
