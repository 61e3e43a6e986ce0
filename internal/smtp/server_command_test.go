package smtp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/smtp/smtptest"
)

// inMail is a transaction with a recipient.
const inMail = hello + `
C: MAIL FROM:<a@one.test>
S: 250 2.1.0 sender ok
C: RCPT TO:<b@two.test>
S: 250 2.1.5 recipient ok
`

func TestCommands(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"case and spaces", hello + "C: mAiL fRoM: <a@b.test> \nS: 250*\nC: rcpt to:<c@d.test>\nS: 250*\nC: data\nS: 354*"},
		{"HELO gets no enhanced codes", "S: 220*\nC: HELO c\nS: 250 mx.test\nC: NOOP\nS: 250 Ok\nC: MAIL FROM:<a@b.test>\nS: 250 sender ok"},
		{"HELO wants a name", "S: 220*\nC: HELO\nS: 501*\nC: EHLO  \nS: 501*\nC: EHLO a b\nS: 501*"},
		{"MAIL wants EHLO", "S: 220*\nC: MAIL FROM:<a@b.test>\nS: 503*"},
		{"MAIL after a failed EHLO", "S: 220*\nC: EHLO\nS: 501*\nC: MAIL FROM:<a@b.test>\nS: 503*"},
		{"RCPT wants MAIL", hello + "C: RCPT TO:<a@b.test>\nS: 503 5.5.1*"},
		{"DATA wants MAIL", hello + "C: DATA\nS: 503 5.5.1*"},
		{"DATA wants RCPT", hello + "C: MAIL FROM:<a@b.test>\nS: 250*\nC: RCPT TO:<refuse@b.test>\nS: 550*\nC: DATA\nS: 503 5.5.1*"},
		{"DATA has no parameter", inMail + "C: DATA now\nS: 501*"},
		{"MAIL is not nested", inMail + "C: MAIL FROM:<a@b.test>\nS: 503 5.5.1*"},
		{"RSET ends", inMail + "C: RSET\nS: 250 2.0.0*\nC: RCPT TO:<a@b.test>\nS: 503*\nC: MAIL FROM:<a@b.test>\nS: 250*"},
		{"EHLO ends", inMail + "C: EHLO again\nS: 250-**\nS: 250 *\nC: RCPT TO:<a@b.test>\nS: 503*"},
		{"RSET, QUIT have no parameter", hello + "C: RSET x\nS: 501*\nC: QUIT x\nS: 501*\nC: QUIT\nS: 221 2.0.0*\nclose"},
		{"a refused MAIL leaves nothing", hello + "C: MAIL FROM:<refuse@b.test>\nS: 550*\nC: RCPT TO:<a@b.test>\nS: 503*\nC: MAIL FROM:<later@b.test>\nS: 451*"},
		{"after the message a new one", inMail + `C: DATA\r\na\r\n.` + "\nS: 354*\nS: 250*\nC: RCPT TO:<a@b.test>\nS: 503*\nC: DATA\nS: 503*"},
		{"after a bad message too", inMail + `C: DATA\r\na\nb\r\n.` + "\nS: 354*\nS: 550 5.6.11*\nC: RCPT TO:<a@b.test>\nS: 503*\nC: MAIL FROM:<a@b.test>\nS: 250*"},
		{"NUL in the message", inMail + `C: DATA\r\na\0b\r\n.` + "\nS: 354*\nS: 550 5.6.0 NUL*"},
		{"VRFY, EXPN, HELP, NOOP", hello + "C: VRFY a\nS: 252 2.*\nC: VRFY\nS: 501*\nC: EXPN a\nS: 502*\nC: HELP\nS: 214*\nC: NOOP x\nS: 250*"},
		{"unknown", hello + "C: FROBNICATE\nS: 500 5.5.2*\nC: \nS: 500*\nC: \\x80\\xff\nS: 500*\nC: MAILFROM:<a@b.test>\nS: 500*"},
		{"bare LF", hello + `C- NOOP\n` + "\nS: 500 5.5.2 lines*\nC: NOOP\nS: 250*"},
		{"bare CR", hello + `C: NOOP\rNOOP` + "\nS: 500 5.5.2 lines*"},
		{"NUL", hello + `C: NOOP \0` + "\nS: 500 5.5.2 lines*\nC: MAIL FROM:<a@b.test>\\0\nS: 500*"},
		{"long lines", hello + "C: NOOP " + strings.Repeat("x", 600) + "\nS: 500 5.5.6*\nC: MAIL FROM:<a@b.test> ENVID=" + strings.Repeat("x", 5000) + "\nS: 500 5.5.6*\nC: NOOP\nS: 250*"},
		{"very long lines", hello + "C: " + strings.Repeat("x", 1<<20) + "\nS: 500 5.5.6*\nC: NOOP\nS: 250*"},
		{"no STARTTLS here", hello + "C: STARTTLS\nS: 502*"},
		{"no AUTH here", hello + "C: AUTH PLAIN\nS: 502*"},
		{"the message is lost when the client goes", inMail + "C: DATA\nS: 354*\nC: half\nclose!"},
		{"SIZE", hello + "C: MAIL FROM:<a@b.test> SIZE=52428800\nS: 250*\nC: RSET\nS: 250*\nC: MAIL FROM:<a@b.test> SIZE=52428801\nS: 552 5.3.4*\nC: MAIL FROM:<a@b.test> SIZE=99999999999999999999\nS: 552*"},
		{"SMTPUTF8", hello + `C: MAIL FROM:<\xc3\xbc@b.test>` + "\nS: 553 5.6.7*\n" + `C: MAIL FROM:<\xc3\xbc@b.test> SMTPUTF8` + "\nS: 250*\n" + `C: RCPT TO:<a@\xc3\xbc.test>` + "\nS: 250*\n" + `C: RCPT TO:<\xc3@b.test>` + "\nS: 553 5.1.3*"},
		{"UTF-8 without SMTPUTF8", hello + "C: MAIL FROM:<a@b.test>\nS: 250*\n" + `C: RCPT TO:<\xc3\xbc@b.test>` + "\nS: 553 5.6.7*\n" + `C: VRFY \xc3\xbc` + "\nS: 252*"},
		{"no EHLO needed twice", inMail + "C: NOOP\nS: 250*\nC: DATA\nS: 354*\nC: .\nS: 250*\nC: MAIL FROM:<>\nS: 250*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, addr := start(t, ServerConfig{}, &testHandler{})
			smtptest.Play(t, smtptest.Connect(t, addr), c.script)
		})
	}
}

func TestParameters(t *testing.T) {
	const mailFault, rcptFault = "501 5.5.4", "553 5.1.3"
	for _, c := range []struct{ command, reply string }{
		{"MAIL FROM:<>", "250"},
		{"MAIL FROM:<> RET=FULL ENVID=a+2Bb BODY=7BIT SIZE=0", "250"},
		{"MAIL FROM:<a@b.test> body=8bitmime ret=hdrs AUTH=<>", "250"},
		{"MAIL FROM:<a@b.test> AUTH=a+40b.test", "250"},
		{"MAIL FROM:<@x.test,@y.test:a@b.test>", "250"},
		{`MAIL FROM:<"a>b"@b.test>`, "250"},
		{`MAIL FROM:<"a \\\\"@b.test>`, "250"},
		{"MAIL FROM:<a@[127.0.0.1]>", "250"},
		{"MAIL FROM:<a@[IPv6:::1]>", "250"},
		{"MAIL FROM:<a+b=c@b.test>", "250"},
		{"MAIL FROM:a@b.test", "553 5.1.7"},
		{"MAIL FROM:<a@b.test", "553"},
		{"MAIL FROM:<a@b.test>SIZE=1", "553"},
		{"MAIL FROM:<a>", "553"},
		{"MAIL FROM:<a@>", "553"},
		{"MAIL FROM:<@b.test>", "553"},
		{"MAIL FROM:<@b.test:>", "553"},
		{"MAIL FROM:<a@b@c.test>", "553"},
		{"MAIL FROM:<.a@b.test>", "553"},
		{"MAIL FROM:<a.@b.test>", "553"},
		{"MAIL FROM:<a..b@b.test>", "553"},
		{"MAIL FROM:<a b@b.test>", "553"},
		{"MAIL FROM:<a@b test>", "553"},
		{"MAIL FROM:<a@-b.test>", "553"},
		{"MAIL FROM:<a@b..test>", "553"},
		{"MAIL FROM:<a@b.test.>", "553"},
		{"MAIL FROM:<a@[300.0.0.1]>", "553"},
		{"MAIL FROM:<a@[::1]>", "553"},
		{`MAIL FROM:<"a@b.test>`, "553"},
		{`MAIL FROM:<"a"b@b.test>`, "553"},
		{"MAIL FROM:<" + strings.Repeat("a", 248) + "@b.test>", "553"},
		{"MAIL FROM:<" + strings.Repeat("a", 247) + "@b.test>", "250"},
		{"MAIL TO:<a@b.test>", mailFault},
		{"MAIL", mailFault},
		{"MAIL <a@b.test>", mailFault},
		{"MAIL FROM:<> SIZE", mailFault},
		{"MAIL FROM:<> SIZE=", mailFault},
		{"MAIL FROM:<> SIZE=-1", mailFault},
		{"MAIL FROM:<> SIZE=1 SIZE=1", mailFault},
		{"MAIL FROM:<> SIZE=999999999999999999999", mailFault},
		{"MAIL FROM:<> =x", mailFault},
		{"MAIL FROM:<> BODY=BINARYMIME", "555"},
		{"MAIL FROM:<> BODY=x", mailFault},
		{"MAIL FROM:<> RET=x", mailFault},
		{"MAIL FROM:<> SMTPUTF8=x", mailFault},
		{"MAIL FROM:<> ENVID=+00", mailFault},
		{"MAIL FROM:<> ENVID=a+0D+0A", mailFault},
		{"MAIL FROM:<> ENVID=a+2", mailFault},
		{"MAIL FROM:<> ENVID=a+2b", mailFault},
		{"MAIL FROM:<> ENVID=a=b", mailFault},
		{"MAIL FROM:<> ENVID=" + strings.Repeat("x", 101), mailFault},
		{"MAIL FROM:<> HOLDFOR=1", "555 5.5.4"},
		{"RCPT TO:<>", rcptFault},
		{"RCPT TO:<a>", rcptFault},
		{"RCPT TO:<Postmaster>", "250"},
		{"RCPT TO:<a@b.test> NOTIFY=NEVER", "250"},
		{"RCPT TO:<a@b.test> NOTIFY=success,FAILURE,delay ORCPT=rfc822;a+2B@b.test", "250"},
		{"RCPT TO:<a@b.test> NOTIFY=NEVER,DELAY", mailFault},
		{"RCPT TO:<a@b.test> NOTIFY=DELAY,DELAY", mailFault},
		{"RCPT TO:<a@b.test> NOTIFY=DELAY,", mailFault},
		{"RCPT TO:<a@b.test> NOTIFY", mailFault},
		{"RCPT TO:<a@b.test> ORCPT=a@b.test", mailFault},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;", mailFault},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;a+00@b.test", mailFault},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;a+b@b.test", mailFault},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;" + strings.Repeat("x", 500), mailFault},
		{`RCPT TO:<a@b.test> ORCPT=utf-8;\xc3\xbc@b.test`, mailFault},
		{`RCPT TO:<a@b.test> ORCPT=utf-8;\\x{FC}@b.test`, "250"},
		{"RCPT TO:<a@b.test> SIZE=1", "555 5.5.4"},
		{"RCPT FROM:<a@b.test>", mailFault},
	} {
		_, addr := start(t, ServerConfig{}, &testHandler{})
		script := hello
		if c.command[0] == 'R' {
			script += "C: MAIL FROM:<>\nS: 250*\n"
		}
		t.Run(c.command[:min(len(c.command), 50)], func(t *testing.T) {
			smtptest.Play(t, smtptest.Connect(t, addr), script+"C: "+c.command+"\nS: "+c.reply+"*")
		})
	}
}

func TestNormalizedCommands(t *testing.T) {
	h := &testHandler{}
	_, addr := start(t, ServerConfig{Normalize: true}, h)
	smtptest.Play(t, smtptest.Connect(t, addr), hello+`C- MAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>\nDATA\nA: b\n\nx\ry\n.\n..z\r\n.\r\n
S: 250*
S: 250*
S: 354*
S: 250*`)
	if got := h.taken()[0].content; got != "A: b\r\n\r\nx\r\ny\r\n.\r\n..z\r\n" {
		t.Errorf("content %q", got)
	}
}

func TestBounds(t *testing.T) {
	h := &testHandler{}
	_, addr := start(t, ServerConfig{MaxMessageSize: 1000, MaxRecipients: 2, MaxErrors: 3, MaxIdleCommands: 10}, h)
	t.Run("recipients", func(t *testing.T) {
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+"C: RCPT TO:<c@d.test>\nS: 250*\nC: RCPT TO:<e@d.test>\nS: 452 4.5.3*\nC: DATA\nS: 354*\nC: .\nS: 250*")
	})
	t.Run("size", func(t *testing.T) {
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+"C: DATA\nS: 354*\nC: "+strings.Repeat(strings.Repeat("x", 100)+`\r\n`, 1000)+".\nS: 552 5.3.4*\nC: NOOP\nS: 250*")
	})
	t.Run("size by chunks", func(t *testing.T) {
		x := strings.Repeat("x", 600)
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+`C- BDAT 600\r\n`+x+`BDAT 600\r\n`+x+`BDAT 600 LAST\r\n`+x+"\nS: 250 *\nS: 552 5.3.4*\nS: 503*\nC: NOOP\nS: 250*")
	})
	t.Run("chunk too big", func(t *testing.T) {
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+`C- BDAT 1001 LAST\r\n`+strings.Repeat("x", 1001)+"\nS: 552 5.3.4*\nC: NOOP\nS: 250*")
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+"C: BDAT 99999999999 LAST\nS: 552 5.3.4*\nclose")
		smtptest.Play(t, smtptest.Connect(t, addr), hello+"C: BDAT 99999999999 LAST\nS: 552 5.3.4*\nclose")
	})
	t.Run("errors", func(t *testing.T) {
		smtptest.Play(t, smtptest.Connect(t, addr), hello+strings.Repeat("C: X\nS: 500*\n", 4)+"S: 421 4.7.0 mx.test too many errors\nclose")
	})
	t.Run("commands without mail", func(t *testing.T) {
		smtptest.Play(t, smtptest.Connect(t, addr), hello+strings.Repeat("C: NOOP\nS: 250*\n", 9)+"C: NOOP\nS: 421 4.7.0*\nclose")
	})
	if len(h.taken()) != 1 {
		t.Errorf("%d messages taken", len(h.taken()))
	}
}

func TestChunkTrouble(t *testing.T) {
	for _, c := range []struct{ name, script, content string }{
		{"syntax", "C: BDAT x\nS: 501*\nclose", ""},
		{"too many chunks", strings.Repeat("C: BDAT 0\n", maxChunks) + strings.Repeat("S: 250*\n", maxChunks) + "C: BDAT 0\nS: 552*\nclose", ""},
		{"abandoned by RSET", `C- BDAT 3\r\nabc` + "\nS: 250*\nC: RSET\nS: 250*\nC: RCPT TO:<a@b.test>\nS: 503*", ""},
		{"abandoned by QUIT", `C- BDAT 3\r\nabcQUIT\r\n` + "\nS: 250*\nS: 221*\nclose", ""},
		{"no DATA between", `C- BDAT 3\r\nabc` + "\nS: 250*\nC: DATA\nS: 503*\nC: BDAT 0 LAST\nS: 250*", "abc\r\n"},
		{"empty", "C: BDAT 0 LAST\nS: 250*", ""},
		{"empty chunks", `C: BDAT 0\r\nBDAT 0` + "\nS: 250*\nS: 250*\n" + `C- BDAT 3 LAST\r\na\r\n` + "\nS: 250*", "a\r\n"},
		{"dots are content", `C- BDAT 9 LAST\r\n.\r\n..\r\n.a` + "\nS: 250*", ".\r\n..\r\n.a\r\n"},
		{"bare LF", `C- BDAT 3 LAST\r\na\nb` + "\nS: 550 5.6.11*", ""},
		{"bare CR at the end", `C- BDAT 2 LAST\r\na\r` + "\nS: 550 5.6.11*", ""},
		{"bare CR over the chunks", `C- BDAT 2\r\na\rBDAT 1 LAST\r\nb` + "\nS: 250*\nS: 550 5.6.11*", ""},
		{"NUL", `C- BDAT 1 LAST\r\n\0` + "\nS: 550 5.6.0*", ""},
		{"last in words", `C- BDAT 3 last\r\na\r\n` + "\nS: 250*", "a\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &testHandler{}
			_, addr := start(t, ServerConfig{}, h)
			smtptest.Play(t, smtptest.Connect(t, addr), inMail+c.script)
			got := ""
			for _, m := range h.taken() {
				got += m.content
			}
			if got != c.content {
				t.Errorf("content %q, want %q", got, c.content)
			}
		})
	}
}

func TestSessionThatRefuses(t *testing.T) {
	room := mail.Reply{Code: 452, Enhanced: "4.3.1", Text: "no room"}
	t.Run("before DATA", func(t *testing.T) {
		h := &testHandler{noData: room}
		_, addr := start(t, ServerConfig{}, h)
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+"C: DATA\nS: 452 4.3.1 no room\nC: RCPT TO:<a@b.test>\nS: 503*")
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+`C- BDAT 6 LAST\r\nNOOP\r\n`+"\nS: 452 4.3.1*\nC: NOOP\nS: 250*")
		if h.resets != 2 {
			t.Errorf("%d resets", h.resets)
		}
	})
	t.Run("without reading", func(t *testing.T) {
		_, addr := start(t, ServerConfig{}, &testHandler{early: true})
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+`C: DATA\r\na\r\nQUIT\r\n.`+"\nS: 354*\nS: 452 4.3.1*\nC: NOOP\nS: 250*")
		smtptest.Play(t, smtptest.Connect(t, addr), inMail+`C- BDAT 1\r\naBDAT 1\r\nb`+"\nS: 452 4.3.1*\nS: 503*")
	})
	t.Run("at the greeting", func(t *testing.T) {
		_, addr := start(t, ServerConfig{}, &testHandler{greeting: mail.Reply{Code: 554, Text: "go\naway\r\x01"}})
		smtptest.Play(t, smtptest.Connect(t, addr), "S: 554-go\nS: 554 away??\nclose")
	})
}

func TestIntercept(t *testing.T) {
	h := &testHandler{}
	_, addr := start(t, ServerConfig{Hide: []string{"SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"}, Intercept: func(c *ServerConn, stage mail.Stage, r *mail.Reply) Verdict {
		switch {
		case c.Helo() == "mail" && stage == mail.StageMail:
			*r = mail.Reply{Code: 450, Text: "greylisted"}
		case c.Helo() == "data" && stage == mail.StageData:
			*r = mail.Reply{Code: 451, Text: "not now"}
		case c.Helo() == "dot" && stage == mail.StageDot:
			return HangUp
		case c.Helo() == "raw" && stage == mail.StageRset:
			if err := c.WriteRaw([]byte("250 bare\n")); err != nil {
				return HangUp
			}
			return SkipReply
		}
		return SendReply
	}}, h)
	begin := "S: 220*\nC: EHLO %s\nS: 250-**\nS: 250 DSN\n"
	mailRcpt := "C: MAIL FROM:<a@b.test>\nS: 250 sender ok\nC: RCPT TO:<c@d.test>\nS: 250 *\n"
	for name, script := range map[string]string{
		"mail": "C: MAIL FROM:<a@b.test>\nS: 450 greylisted\nC: RCPT TO:<a@b.test>\nS: 503*",
		"data": "C: MAIL FROM:<> SMTPUTF8\nS: 555*\n" + mailRcpt + "C: DATA\nS: 451 not now\nC: NOOP\nS: 250*",
		"dot":  mailRcpt + "C: DATA\nS: 354*\nC: .\nclose",
		"raw":  "C: NOOP\\r\\nRSET\nS: 250 Ok\nS- 250 bare\\n\nC: BDAT 3 LAST\nS: 502*",
	} {
		t.Run(name, func(t *testing.T) {
			smtptest.Play(t, smtptest.Connect(t, addr), fmt.Sprintf(begin, name)+script)
		})
	}
}
