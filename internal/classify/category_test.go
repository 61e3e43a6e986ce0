package classify

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/mail"
)

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
