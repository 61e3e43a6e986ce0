package tests

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
	"github.com/sluice-mta/sluice/tests/rig"
)

// stage is one step at which a receiver falls silent.
type stage struct {
	option string // that bounds it
	before string // the conversation up to the moment before the client begins to wait
	then   string // what makes it wait
	deaf   bool   // nothing is read any more
	first  bool   // the time runs from the submission
}

const (
	stageHello = "S: 220 hi\nC: EHLO *\n"
	stageMail  = stageHello + "S: 250 hi\nC: MAIL*\n"
	stageRcpt  = stageMail + "S: 250 ok\nC: RCPT*\n"
	stageData  = stageRcpt + "S: 250 ok\nC: DATA\n"
	stageDot   = stageData + "S: 354 go\ncontent\n"
)

var stages = map[string]stage{
	"greeting":   {option: "greeting_timeout", first: true},
	"ehlo":       {option: "ehlo_timeout", then: stageHello},
	"starttls":   {option: "tls_timeout", before: stageHello, then: "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\n"},
	"handshake":  {option: "tls_timeout", before: stageHello + "S: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\n", then: "S: 220 go\n"},
	"mail-from":  {option: "mailfrom_timeout", before: stageHello, then: "S: 250 hi\nC: MAIL*\n"},
	"rcpt-to":    {option: "rcptto_timeout", before: stageMail, then: "S: 250 ok\nC: RCPT*\n"},
	"data":       {option: "data_timeout", before: stageRcpt, then: "S: 250 ok\nC: DATA\n"},
	"data-block": {option: "data_block_timeout", before: stageData, then: "S: 354 go\n", deaf: true},
	"body":       {option: "body_timeout", before: stageData, then: "S: 354 go\ncontent\n"},
	"rset":       {option: "rset_timeout", before: stageHello + "S: 250 hi\nC: MAIL*\n", then: "S: 550 no\nC: RSET\n"},
	"idle":       {option: "idle_timeout", before: stageDot, then: "S: 250 ok\nC: QUIT\n"},
	"quit":       {option: "quit_timeout", before: stageDot, then: "S: 250 ok\nC: QUIT\n"},
}

const (
	stageTimeout = 400 * time.Millisecond
	stageOther   = 40 * time.Second // every other time-out
	stageIdle    = 300 * time.Millisecond
	stageLate    = 100 * time.Millisecond
)

// TestEachTimeoutAlone: a receiver that falls silent at one step is let go when that step's
// time-out has passed: never earlier, and soon after; none of the others has fired by then,
// its permit is there again, and the domain's other host has the mail.
//
// "Soon" is 100 ms on a machine with time for us, so a round that was late is repeated;
// one that was early is not. (To the microsecond it is tested in virtual time, in smtp.)
func TestEachTimeoutAlone(t *testing.T) {
	for round := 1; ; round++ {
		late := timeoutsRound(t)
		if t.Failed() || late == nil {
			return
		}
		if round == 5 {
			t.Fatalf("late in every round, at last: %s", strings.Join(late, "; "))
		}
		t.Logf("round %d: %s", round, strings.Join(late, "; "))
	}
}

// timeoutsRound lets one server meet all stages at once and says which were late.
func timeoutsRound(t *testing.T) (late []string) {
	const good, full = "127.0.4.200", "127.0.4.201"
	zone := "$TTL 300\ngood.zoo.test. IN A " + good + "\nfull.zoo.test. IN A " + full + "\n" + domainZone("connect", "full")
	conf := "retry_interval = ( 100ms )\nhost_failure_retry = 1h\ntls = ifavailable\nmax_outbound_connections = 1\n" +
		"idle_timeout = " + stageIdle.String() + "\n" +
		"accounting { directory = \"accounting\"  formats = ( jsonl ) }\n"
	for _, option := range []string{"connect", "greeting", "ehlo", "tls", "mailfrom", "rcptto", "data", "data_block", "body", "rset"} {
		conf += fmt.Sprintf("%s_timeout = %s\n", option, stageOther)
	}
	conf += domainStanza("connect", "connect_timeout")
	port := rig.Port(t, good, full)
	silent := map[string]*silentReceiver{}
	for name, s := range stages {
		addr := fmt.Sprintf("127.0.4.%d", len(silent)+1)
		silent[name] = listenSilently(t, fmt.Sprintf("%s:%d", addr, port), s)
		zone += domainZone(name, name) + fmt.Sprintf("%s.zoo.test. IN A %s\n", name, addr)
		conf += domainStanza(name, s.option)
	}
	fullBacklog(t, full, port)
	other := listenOther(t, fmt.Sprintf("%s:%d", good, port))
	server := rig.NewServer(t, rig.Zone{}, port, conf)
	server.Write(t, "zone", zone)
	server.Start(t)

	submit := func(name, subject string) {
		c := dial(t, server.SMTP)
		defer c.Close()
		body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 100)
		if stages[name].deaf {
			body = strings.Repeat(body, 1000)
		}
		if r := c.Send("", subject+"@"+name+".test", "Subject: "+subject+"\r\n\r\n"+body); !strings.HasPrefix(r, "250") {
			t.Fatalf("%s: %q", name, r)
		}
	}
	connecting := time.Now()
	submit("connect", "one")
	for name, r := range silent {
		r.submitted = time.Now()
		submit(name, "one")
		if name == "rset" {
			submit(name, "two") // RSET comes before a second message
		}
	}
	judge := func(name string, took, least time.Duration) {
		switch {
		case took < least:
			t.Errorf("%s: let go after %v, want %v", name, took, least)
		case took > least+stageLate && !stages[name].deaf: // whose time begins anew with each block
			late = append(late, fmt.Sprintf("%s: %v instead of %v", name, took, least))
		}
	}
	judge("connect", other.arrived(t, "connect").Sub(connecting), stageTimeout)
	for name, r := range silent {
		begun, ended := r.times(t, name)
		least := stageTimeout
		switch {
		case r.deaf: // it cannot see the end, and is waited for two seconds after it; the other host sees the permit return
			ended = other.arrived(t, name)
			least += 2 * time.Second
		case name == "quit":
			least += stageIdle
		}
		judge(name, ended.Sub(begun), least)
		if r.moves() {
			other.arrived(t, name)
		}
	}
	rig.Until(t, 20*time.Second, "every permit to return", func() bool {
		st := server.Status(t)
		return st.Queue.Connections == 0 && st.Queue.Messages == 0
	})
	server.Stop(t, 20*time.Second)
	return late
}

func domainZone(domain, first string) string {
	return fmt.Sprintf("%[1]s.test. IN MX 10 %[2]s.zoo.test.\n%[1]s.test. IN MX 20 good.zoo.test.\n", domain, first)
}

func domainStanza(domain, option string) string {
	return fmt.Sprintf("Domain \"%s.test\" { %s = %s }\n", domain, option, stageTimeout)
}

// moves says whether the mail goes to the other host: it does not when the silent one has it
// already, or when TLS has failed that was only wished for, which is tried again in clear.
func (s *stage) moves() bool {
	return s.option != "idle_timeout" && s.option != "quit_timeout" && s.option != "tls_timeout"
}

// silentReceiver falls silent at its stage on the first connection, notes when
// the client may have begun to wait and when it let go, and takes all mail afterwards.
type silentReceiver struct {
	stage
	submitted time.Time
	done      chan struct{}
	visited   atomic.Bool
	once      sync.Once
	begun     time.Time
	ended     time.Time
	err       error
}

func listenSilently(t *testing.T, addr string, s stage) *silentReceiver {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r := &silentReceiver{stage: s, done: make(chan struct{})}
	stop := make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		_ = l.Close()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.play(conn, stop)
		}
	}()
	return r
}

func (r *silentReceiver) play(conn net.Conn, stop <-chan struct{}) {
	defer conn.Close()
	if !r.visited.CompareAndSwap(false, true) {
		_ = smtptest.Run(conn, 'S', "S: 220 hi\nobey", nil) // the queue tells whether it went well
		return
	}
	err := smtptest.Run(conn, 'S', r.before, nil)
	begun := time.Now()
	if err == nil {
		err = smtptest.Run(conn, 'S', r.then, nil)
	}
	if r.option == "idle_timeout" {
		r.note(begun, err)
	}
	if r.deaf {
		r.note(begun, err)
		<-stop
		return
	}
	_ = conn.SetDeadline(time.Now().Add(stageOther))
	_, _ = io.Copy(io.Discard, conn) // until it lets go, in whatever way
	r.note(begun, err)
}

func (r *silentReceiver) note(begun time.Time, err error) {
	r.once.Do(func() {
		r.begun, r.ended, r.err = begun, time.Now(), err
		close(r.done)
	})
}

func (r *silentReceiver) times(t *testing.T, name string) (begun, ended time.Time) {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(stageOther / 2):
		t.Fatalf("%s: the receiver is not let go", name)
	}
	if r.err != nil {
		t.Errorf("%s: %v", name, r.err)
	}
	if r.first {
		return r.submitted, r.ended
	}
	return r.begun, r.ended
}

// otherHost takes everything and notes when the first message of each domain came.
type otherHost struct {
	mu    sync.Mutex
	first map[string]time.Time
}

func listenOther(t *testing.T, addr string) *otherHost {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	o := &otherHost{first: map[string]time.Time{}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go o.take(conn)
		}
	}()
	return o
}

func (o *otherHost) take(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	say := "220 hi"
	for content := false; ; {
		if say != "" {
			if _, err := fmt.Fprintf(conn, "%s\r\n", say); err != nil {
				return
			}
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, arg, _ := strings.Cut(line, " ")
		say = "250 ok"
		switch {
		case content && line == ".":
			content = false
		case content:
			say = ""
		case verb == "DATA":
			content, say = true, "354 go"
		case verb == "RCPT":
			o.note(arg)
		case verb == "QUIT":
			return
		}
	}
}

func (o *otherHost) note(rcpt string) {
	_, domain, _ := strings.Cut(rcpt, "@")
	domain, _, _ = strings.Cut(domain, ".")
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.first[domain]; !known {
		o.first[domain] = time.Now()
	}
}

// arrived waits for the domain's first message.
func (o *otherHost) arrived(t *testing.T, domain string) time.Time {
	t.Helper()
	var at time.Time
	rig.Until(t, stageOther/2, "the other host of "+domain+" to be tried", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		at = o.first[domain]
		return !at.IsZero()
	})
	return at
}

// fullBacklog listens and takes nothing, with so many connections waiting that the next one
// is not established.
func fullBacklog(t *testing.T, addr string, port int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	err = errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte(net.ParseIP(addr).To4())}),
		syscall.Listen(fd, 1),
	)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", addr, port), 300*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("the queue of connections does not fill up")
}
