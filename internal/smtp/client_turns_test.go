package smtp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

const (
	offersAll = `
		S: 220 mx.test
		C: EHLO me.test
		S: 250-mx.test
		S: 250-PIPELINING
		S: 250 CHUNKING
	`
	offersPipelining = `
		S: 220 mx.test
		C: EHLO me.test
		S: 250-mx.test
		S: 250 PIPELINING
	`
	bye = `
		C: QUIT
		S: 221 bye
		close
	`
	envelope1 = "\nC: MAIL FROM:<sender@a.test>\nC: RCPT TO:<x@b.test>\n"
	data1     = envelope1 + "C: DATA\n"
	accepted1 = "\nS: 250 2.1.0 ok\nS: 250 2.1.5 ok\n"
	goAhead1  = accepted1 + "S: 354 go\n"
	dotted    = "\nC: hi\nC: .\n"
	chunk     = "\nC: BDAT 4 LAST\nC: hi\n"
	taken1    = "\nS: 250 2.0.0 taken\n"
)

// chain makes transactions that follow one another, each given when it is asked for.
func chain(n int) []*Transaction {
	all := make([]*Transaction, n)
	for i := range all {
		all[i] = transaction(inMemory("hi\r\n"), "x@b.test")
		if i > 0 {
			all[i-1].Next = func() *Transaction { return all[i] }
		}
	}
	return all
}

// TestTurns: what the receiver has before it says anything is what shares a flight. A
// script that says a reply too early, or too late, does not come to its end.
func TestTurns(t *testing.T) {
	tests := []struct {
		name     string
		script   string
		messages int
		known    Feature
	}{
		{
			"the next envelope goes behind the content",
			offersPipelining + data1 + goAhead1 + dotted + data1 + taken1 + goAhead1 + dotted + data1 + taken1 + goAhead1 + dotted + taken1 + bye, 3, 0,
		},
		{
			"the first chunk goes by itself, and when the recipient is accepted",
			offersAll + envelope1 + accepted1 + chunk + taken1 + envelope1 + chunk + "C: RSET" + envelope1 + accepted1 + taken1 + "S: 250 ok" + accepted1 + chunk + taken1 + bye, 3, 0,
		},
		{
			"one flight, then one turn a message",
			offersAll + envelope1 + chunk + "C: RSET" + envelope1 + accepted1 + taken1 + "S: 250 ok" + accepted1 +
				chunk + envelope1 + taken1 + accepted1 + chunk + taken1 + bye, 3, AllFeatures,
		},
		{
			"chunks without pipelining",
			strings.Replace(plain, "S: 250 mx.test", "S: 250-mx.test\nS: 250 CHUNKING", 1) +
				strings.Repeat("C: MAIL FROM:<sender@a.test>\nS: 250 ok\nC: RCPT TO:<x@b.test>\nS: 250 ok"+chunk+taken1, 2) + bye, 2, 0,
		},
		{
			"neither",
			plain + strings.Repeat("C: MAIL FROM:<sender@a.test>\nS: 250 ok\nC: RCPT TO:<x@b.test>\nS: 250 ok\nC: DATA\nS: 354 go"+dotted+taken1, 2) + bye, 2, 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := openScript(t, tt.script, patient)
			c.Use(AllFeatures, Habits{Proven: tt.known})
			for i, tx := range chain(tt.messages) {
				if err := c.Transact(tx); err != nil {
					t.Fatalf("message %d: %v", i+1, err)
				}
				if got := codes(tx); got != "250 2.0.0 taken|dot\n" {
					t.Errorf("message %d: %s", i+1, got)
				}
			}
			c.Close(true)
			if h := c.Habits(); h.Broken != 0 {
				t.Errorf("broken: %v: %s", h.Broken, h.Why)
			}
		})
	}
}

// TestEnvelopeThatTurnsUpLater goes out while the content is being answered.
func TestEnvelopeThatTurnsUpLater(t *testing.T) {
	c := openScript(t, offersPipelining+data1+goAhead1+dotted+data1+taken1+goAhead1+dotted+taken1+bye, patient)
	txs := chain(2)
	given, asked := txs[0].Next, make(chan struct{}, 10)
	there := false
	txs[0].Next = func() *Transaction {
		asked <- struct{}{}
		if !there {
			there = true
			return nil
		}
		return given()
	}
	go func() {
		<-asked // before the content is flushed
		c.Wake()
	}()
	for _, tx := range txs {
		if err := c.Transact(tx); err != nil {
			t.Fatal(err)
		}
	}
	c.Close(true)
}

// TestBrokenFeatures: a receiver offers one thing and does another. What is known of the
// messages is beside each, and what is known of the receiver.
func TestBrokenFeatures(t *testing.T) {
	const (
		one    = "250 2.0.0 taken|dot\n"
		reset  = "C: RSET\nS: 250 ok\n"
		slowly = reset + "C: MAIL FROM:<sender@a.test>\nS: 250 ok\nC: RCPT TO:<x@b.test>\nS: 250 ok\nC: DATA\nS: 354 go" + dotted + taken1
	)
	tests := []struct {
		name, script   string
		known          Feature
		want           []string // of each message: its results, or ! and whether it is to be sent again
		broken, silent Feature
	}{
		{
			"BDAT is no command", offersAll + envelope1 + accepted1 + chunk + "S: 502 5.5.2 what?\nS: 500 5.5.2 hi?\nclose", 0,
			[]string{"!again 4.5.0 protocol error: BDAT was answered with 502 5.5.2 what? (sending the content)|dot\n"},
			Chunking, 0,
		},
		{
			"a chunk is refused as content is", offersAll + envelope1 + accepted1 + chunk + "S: 554 5.7.1 spam\n" + bye, 0,
			[]string{"554 5.7.1 spam|dot\n"},
			0, 0,
		},
		{
			"RCPT is lost", offersPipelining + data1 + "S: 250 ok\nS: 503 5.5.1 one at a time\nS: 503 5.5.1 one at a time\n" + slowly + bye, 0,
			[]string{one},
			Pipelining, 0,
		},
		{
			"RCPT is lost, DATA is not", offersPipelining + data1 + "S: 250 ok\nS: 500 what?\nS: 354 go\nC: .\nS: 554 no recipients\n" + slowly + bye, 0,
			[]string{one},
			Pipelining, 0,
		},
		{
			"DATA is lost", offersPipelining + data1 + accepted1 + "S: 503 5.5.1 improper pipelining\n" + slowly + bye, 0,
			[]string{one},
			Pipelining, 0,
		},
		{
			"it says so by itself too", offersPipelining + data1 + "S: 250 ok\nS: 503 5.5.1 log in\nS: 503 5.5.1 log in\n" +
				reset + "C: MAIL FROM:<sender@a.test>\nS: 250 ok\nC: RCPT TO:<x@b.test>\nS: 503 5.5.1 log in\n" + bye, 0,
			[]string{"503 5.5.1 log in|rcpt\n"},
			0, 0,
		},
		{
			"synchronization error", offersPipelining + data1 + "S: 250 ok\nS: 554 5.5.0 SMTP protocol synchronization error\nS: 554 5.5.0 no\n" + slowly + bye, 0,
			[]string{one},
			Pipelining, 0,
		},
		{
			"the envelope ahead is lost", offersPipelining + data1 + goAhead1 + dotted + data1 + taken1 + "S: 503 what?\nS: 503 what?\nS: 503 what?\n" +
				reset + data1 + goAhead1 + dotted + taken1 + bye, 0,
			[]string{one, one},
			Ahead, 0,
		},
		{
			"it closes when an envelope comes ahead", offersPipelining + data1 + goAhead1 + dotted + data1 + "close!", 0,
			[]string{"! 4.4.2 the receiver closed the connection while we were waiting for the reply; it may have taken the message|dot\n", "!again"},
			Ahead, Ahead,
		},
		{
			"it closes though it has done so before", offersPipelining + data1 + goAhead1 + dotted + data1 + "close!", AllFeatures,
			[]string{"! 4.4.2 the receiver closed the connection while we were waiting for the reply; it may have taken the message|dot\n", "!"},
			0, 0,
		},
		{
			"it closes in the first group", offersPipelining + data1 + "S: 250 ok\nclose!", 0,
			[]string{"! 4.4.2 the receiver closed the connection while we were waiting for the reply|rcpt\n"},
			Pipelining, Pipelining,
		},
		{
			"it closes after the first chunk", offersAll + envelope1 + accepted1 + chunk + "close!", 0,
			[]string{"! 4.4.2 the receiver closed the connection while we were waiting for the reply; it may have taken the message|dot\n"},
			Chunking, Chunking,
		},
		{
			"a reply too many after a chunk", offersAll + envelope1 + accepted1 + chunk + `S- 250 2.0.0 taken\r\n250 chunk\r\n` + "\nclose", 0,
			[]string{one, "!"},
			Chunking, 0,
		},
		{
			"a reply too many in a group", offersPipelining + data1 + `S- 250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n` + "\nclose", 0,
			[]string{"! 4.5.0 protocol error: a reply to nothing: \"250 ok\" (before the command)|body\n"},
			Pipelining, 0,
		},
		{
			"a 421 is no evidence", offersPipelining + data1 + "S: 421 4.3.2 not now\nclose", 0,
			[]string{"! 421 4.3.2 not now|mail\n"},
			0, 0,
		},
		{
			"a 421 that says why is", offersPipelining + data1 + "S: 250 ok\nS: 421 4.7.0 no pipelining here\nclose", 0,
			[]string{"!again 421 4.7.0 no pipelining here|rcpt\n"},
			Pipelining, 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := openScript(t, tt.script, patient)
			c.Use(AllFeatures, Habits{Proven: tt.known})
			quit := true
			for i, tx := range chain(len(tt.want)) {
				err := c.Transact(tx)
				got := codes(tx)
				if err != nil {
					quit = false
					retry := ""
					if tx.Retry {
						retry = "again"
					}
					if got = "!" + retry + " " + got; !strings.Contains(tt.want[i], "|") {
						got = "!" + retry
					}
				}
				if got != tt.want[i] {
					t.Errorf("message %d: got %q, want %q", i+1, got, tt.want[i])
				}
			}
			c.Close(quit)
			if h := c.Habits(); h.Broken != tt.broken || h.Silent != tt.silent {
				t.Errorf("broken: %v, silent: %v: %s", h.Broken, h.Silent, h.Why)
			}
		})
	}
}

// TestLostForSome: who was lost in a group is sent to again, who was not has an outcome.
func TestLostForSome(t *testing.T) {
	c := openScript(t, offersPipelining+`
		C: MAIL FROM:<sender@a.test>
		C: RCPT TO:<x@b.test>
		C: RCPT TO:<y@b.test>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 500 what?
		S: 354 go`+dotted+taken1+bye, patient)
	tx := transaction(inMemory("hi\r\n"), "x@b.test", "y@b.test")
	if err := c.Transact(tx); err != nil {
		t.Fatal(err)
	}
	if tx.Results[0].Again || tx.Results[0].Reply.Code != 250 || !tx.Results[1].Again {
		t.Errorf("results: %+v", tx.Results)
	}
	c.Close(true)
}

// TestMailmax: what would be one transaction too many is not begun.
func TestMailmax(t *testing.T) {
	c := openScript(t, strings.Replace(offersPipelining, "S: 250 PIPELINING", "S: 250-PIPELINING\nS: 250 LIMITS RCPTMAX=5 MAILMAX=2 RCPTDOMAINMAX=0 X", 1)+
		data1+goAhead1+dotted+data1+taken1+goAhead1+dotted+taken1+bye, patient)
	if got, want := c.Extensions().Limits, (Limits{Mail: 2, Rcpt: 5}); got != want {
		t.Errorf("limits: %+v, want %+v", got, want)
	}
	for _, tx := range chain(3)[:2] {
		if err := c.Transact(tx); err != nil {
			t.Fatal(err)
		}
	}
	if !c.Spent() {
		t.Error("a third message could be begun")
	}
	c.Close(true)
}

// TestBothSidesWrite: a receiver that reads no further until its replies are taken, and a
// client whose content does not fit into the window meanwhile.
func TestBothSidesWrite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	content := strings.Repeat(strings.Repeat("a", 76)+"\r\n", 200_000/78)
	served := make(chan error, 1)
	go func() { served <- repliesFirst(l, len(content)) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4096) // a wish: small
	c := NewClient(conn, patient)
	if _, err := c.Greeting(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello("me.test"); err != nil {
		t.Fatal(err)
	}
	c.Use(AllFeatures, Habits{Proven: AllFeatures})
	to := make([]string, 100)
	for i := range to {
		to[i] = fmt.Sprintf("x%d@b.test", i)
	}
	tx := transaction(inMemory(content), to...)
	if err := c.Transact(tx); err != nil {
		t.Fatal(err)
	}
	for i, r := range tx.Results {
		if r.Reply.Code != 250 {
			t.Fatalf("recipient %d: %v", i, r.Reply)
		}
	}
	c.Close(true)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// repliesFirst serves one message to 100 recipients: 160 KB of replies before it reads on.
func repliesFirst(l net.Listener, size int) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_ = conn.(*net.TCPConn).SetWriteBuffer(4096)
	in := bufio.NewReaderSize(conn, 16)
	_, _ = io.WriteString(conn, "220 hi\r\n") // a failure shows at the next read
	long := bytes.Repeat([]byte("250-"+strings.Repeat("x", 76)+"\r\n"), 20)
	var owed []byte
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "EHLO":
			_, _ = io.WriteString(conn, "250-hi\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
		case "QUIT":
			_, err := io.WriteString(conn, "221 bye\r\n")
			return err
		case "BDAT":
			if _, err := conn.Write(owed); err != nil {
				return err
			}
			if _, err := io.CopyN(io.Discard, in, int64(size)); err != nil {
				return err
			}
			_, _ = io.WriteString(conn, "250 taken\r\n")
		default:
			owed = append(append(owed, long...), "250 ok\r\n"...)
		}
	}
}

// TestAnsweredAndClosed: a receiver takes one message a connection, answers it and closes, with the
// envelope of the next one unread: the answer counts, and the next one has not begun.
func TestAnsweredAndClosed(t *testing.T) {
	for range 20 {
		c := openScript(t, offersPipelining+data1+goAhead1+dotted+taken1+"close!", patient)
		c.Use(AllFeatures, Habits{Proven: AllFeatures})
		txs := chain(2)
		if err := c.Transact(txs[0]); err != nil {
			t.Fatal(err)
		}
		if got := codes(txs[0]); got != "250 2.0.0 taken|dot\n" {
			t.Errorf("the first: %s", got)
		}
		if err := c.Transact(txs[1]); err == nil || txs[1].Judged || !txs[1].Sent {
			t.Errorf("the second: %v, judged %t, sent %t", err, txs[1].Judged, txs[1].Sent)
		}
		c.Close(false)
		if h := c.Habits(); h.Broken != 0 {
			t.Errorf("broken: %v: %s", h.Broken, h.Why)
		}
	}
}

// TestOutOfOrderForEver: a receiver that answers every RCPT so, in a flight and by itself, is asked
// twice and no more.
func TestOutOfOrderForEver(t *testing.T) {
	rcpt := func(who string) string { return "C: RCPT TO:<" + who + "@b.test>\n" }
	c := openScript(t, offersPipelining+"C: MAIL FROM:<sender@a.test>\n"+rcpt("x")+rcpt("y")+rcpt("z")+"C: DATA\n"+
		"S: 250 ok\nS: 503 no\nS: 503 no\nS: 503 no\nS: 503 no\n"+
		"C: RSET\nS: 250 ok\nC: MAIL FROM:<sender@a.test>\nS: 250 ok\n"+rcpt("x")+"S: 503 no\n"+
		rcpt("y")+rcpt("z")+"C: DATA\n"+"S: 503 no\nS: 503 no\nS: 503 no\n"+bye, patient)
	tx := transaction(inMemory("hi\r\n"), "x@b.test", "y@b.test", "z@b.test")
	if err := c.Transact(tx); err != nil {
		t.Fatal(err)
	}
	if got, want := codes(tx), strings.Repeat("503 no|rcpt\n", 3); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.Close(true)
	if h := c.Habits(); h.Broken != 0 {
		t.Errorf("broken: %v: %s", h.Broken, h.Why)
	}
}
