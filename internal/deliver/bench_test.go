package deliver

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// BenchmarkAgent sends 2 KB messages over one connection to a receiver that does next to
// nothing. CPU is that of the whole process, receiver included: user and system.
func BenchmarkAgent(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go takeAll(conn)
		}
	}()
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	raw := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 26))
	env := &mail.Envelope{
		Sender:     mail.Address{Local: "s", Domain: "a.test"},
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "x", Domain: "b.test"}, Domain: "b.test"}},
	}
	msg := testMessage{bytes.NewReader(raw), env, raw}
	s := &policy.Session{
		EHLO: "me.test", ConnectTimeout: time.Hour, GreetingTimeout: time.Hour, EHLOTimeout: time.Hour, MailTimeout: time.Hour,
		RcptTimeout: time.Hour, DataTimeout: time.Hour, DataBlockTimeout: time.Hour, BodyTimeout: time.Hour, QuitTimeout: time.Hour,
	}
	events := make(chan sched.Event, 16)
	agent := New(Config{
		Events: func(e sched.Event) { events <- e },
		Open:   func(mail.ID) (Message, error) { return msg, nil },
	})
	agent.Start(sched.Connect{Conn: 1, Address: addr.Addr(), Port: addr.Port(), TLS: sched.TLSNo, Policy: &policy.Queue{Session: s}})
	parts, done := 0, 0
	recipients := []int{0}
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ReportAllocs()
	b.ResetTimer()
	for done < b.N {
		switch e := (<-events).(type) {
		case sched.Wants:
			for range e.N {
				if parts < b.N {
					parts++
					agent.Deliver(sched.Deliver{Conn: 1, Part: sched.PartID(parts), Recipients: recipients})
				}
			}
		case sched.Attempted:
			if e.Outcomes[0].Class != mail.ClassDelivered {
				b.Fatal(tell(e))
			}
			done++
		}
	}
	b.StopTimer()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	b.ReportMetric(float64(after.Utime.Nano()-before.Utime.Nano())/float64(b.N), "user-ns/op")
	b.ReportMetric(float64(after.Stime.Nano()-before.Stime.Nano())/float64(b.N), "sys-ns/op")
	agent.Close(sched.Close{Conn: 1})
	for range 2 {
		<-events
	}
	agent.Wait()
	_ = l.Close()
}

func takeAll(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	_, err := io.WriteString(conn, "220 hi\r\n")
	for err == nil {
		var line []byte
		if line, err = in.ReadSlice('\n'); err != nil {
			return
		}
		switch line[0] {
		case 'E':
			_, err = io.WriteString(conn, "250-hi\r\n250 PIPELINING\r\n")
		case 'D':
			_, err = io.WriteString(conn, "250 ok\r\n250 ok\r\n354 go\r\n")
		case '.':
			_, err = io.WriteString(conn, "250 2.0.0 queued as 1\r\n")
		case 'Q':
			return
		}
	}
}
