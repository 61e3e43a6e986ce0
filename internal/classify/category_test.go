package classify

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

func TestCategoryOf(t *testing.T) {
	for _, c := range []struct {
		status, diag string
		want         Category
	}{
		{"2.0.0", "smtp;250 2.0.0 OK", Success},
		{"2.1.5", "smtp;250 2.1.5 not spam at all", Success},
		{"5.1.1", "smtp;550 5.1.1 The account that you tried to reach does not exist", BadMailbox},
		{"5.0.0", "smtp;550 User unknown", BadMailbox},
		{"5.0.0", "smtp;550 Requested action not taken: mailbox unavailable", BadMailbox},
		{"5.1.2", "x-sluice;domain nowhere.test does not exist", BadDomain},
		{"5.1.10", "x-sluice;domain null.test accepts no mail (null MX)", BadDomain},
		{"5.1.8", "smtp;550 5.1.8 sender domain does not exist", InvalidSender},
		{"5.2.1", "smtp;550 5.2.1 mailbox disabled", InactiveMailbox},
		{"4.2.2", "smtp;452 4.2.2 The recipient's inbox is out of storage space", QuotaIssues},
		{"5.0.0", "smtp;552 Mailbox is full", QuotaIssues},
		{"5.7.1", "smtp;550 5.7.1 Service unavailable; client host blocked using Spamhaus", SpamRelated},
		{"5.7.1", "smtp;554 5.7.1 Message rejected as SPAM", SpamRelated},
		{"5.7.1", "smtp;550 5.7.1 Relaying denied", RelayingIssues},
		{"5.7.26", "smtp;550 5.7.26 unauthenticated", PolicyRelated},
		{"4.7.0", "smtp;421 4.7.0 try again later", PolicyRelated},
		{"5.6.0", "smtp;554 5.6.0 virus found", VirusRelated},
		{"5.6.3", "smtp;554 5.6.3 conversion needed", ContentRelated},
		{"5.3.4", "smtp;552 5.3.4 too big", ContentRelated},
		{"4.4.1", "x-sluice;connection timed out", NoAnswerFromHost},
		{"4.4.2", "x-sluice;connection lost", BadConnection},
		{"5.4.6", "x-sluice;loop", RoutingErrors},
		{"4.4.3", "x-sluice;look up MX", RoutingErrors},
		{"4.4.7", "smtp;421 blocked for spam", MessageExpired},
		{"5.4.7", "", MessageExpired},
		{"5.5.1", "smtp;503 5.5.1 bad sequence", ProtocolErrors},
		{"5.5.0", "smtp;550 5.5.0 no such user here", BadMailbox},
		{"5.5.0", "smtp;550 5.5.0 hm", ProtocolErrors},
		{"4.5.3", "smtp;452 4.5.3 too many recipients", PolicyRelated},
		{"4.0.0", "smtp;451 greylisted, come back later", PolicyRelated},
		{"4.0.0", "smtp;451 hm", Other},
		{"", "", Other},
		{"nonsense", "x", Other},
	} {
		if got := CategoryOf(c.status, c.diag); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.status, c.diag, got, c.want)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		enhanced string
		class    mail.Class
		want     string
	}{
		{"2.1.5", mail.ClassDelivered, "2.1.5"},
		{"", mail.ClassDelivered, "2.0.0"},
		{"4.2.2", mail.ClassDelivered, "2.0.0"},
		{"5.1.1", mail.ClassRefused, "5.1.1"},
		{"4.7.1", mail.ClassRefused, "5.0.0"},
		{"5.7.999", mail.ClassRefused, "5.7.999"},
		{"5.7.1000", mail.ClassRefused, "5.0.0"},
		{"5.7", mail.ClassRefused, "5.0.0"},
		{"5.a.1", mail.ClassRefused, "5.0.0"},
		{"5..1", mail.ClassRefused, "5.0.0"},
		{"5.1.1\r\nX: y", mail.ClassRefused, "5.0.0"},
		{"4.4.1", mail.ClassDeferred, "4.4.1"},
		{"", mail.ClassDeferred, "4.0.0"},
		{"4.3.0", mail.ClassLocal, "4.3.0"},
		{"5.1.1", mail.ClassDeferred, "4.0.0"},
	} {
		if got := Status(mail.Reply{Enhanced: c.enhanced}, c.class); got != c.want {
			t.Errorf("%q %v: %s, want %s", c.enhanced, c.class, got, c.want)
		}
	}
	if Final(mail.Reply{Code: 451, Enhanced: "4.2.0"}, mail.ClassDeferred) != Expired || Final(mail.Reply{Enhanced: "4.4.7"}, mail.ClassRefused) != Expired ||
		Final(mail.Reply{Code: 550, Enhanced: "5.1.1"}, mail.ClassRefused) != "5.1.1" {
		t.Error("final")
	}
	if StatusText("2.6.0") != "success" || StatusText("5.1.1") == "" || StatusText("5.99.99") != "" {
		t.Error("texts")
	}
}
