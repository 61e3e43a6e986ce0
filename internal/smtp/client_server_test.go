package smtp

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-mta/sluice/internal/mail"
)

// TestClientAgainstServer: whatever content and recipients there are, one transaction
// after the other, our server takes octet for octet what our client was given, for
// exactly those whom it accepted, and every recipient has the reply that was meant.
func TestClientAgainstServer(t *testing.T) {
	h := &testHandler{}
	_, addr := start(t, ServerConfig{MaxRecipients: 1000, MaxErrors: 1 << 20}, h)
	rapid.Check(t, func(t *rapid.T) {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(conn, patient)
		defer c.Close(true)
		_, _ = c.Greeting()
		if rep, err := c.Hello("me.test"); err != nil || rep.Code != 250 {
			t.Fatal(rep, err)
		}
		c.ext.Pipelining = rapid.Bool().Draw(t, "pipelining")
		var tx *Transaction
		for n := rapid.IntRange(1, 3).Draw(t, "transactions"); n > 0; n-- {
			before := len(h.taken())
			tx = drawTransaction(t)
			if err := c.Transact(tx); err != nil {
				t.Fatal(err)
			}
			checkTaken(t, tx, h.taken()[before:])
		}
	})
}

func drawTransaction(t *rapid.T) *Transaction {
	line := rapid.OneOf(
		rapid.SampledFrom([]string{"", ".", "..", ".a", "a.", "subject: x", "\xff\xfe", ". "}),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab. é")), 0, 300, 600),
	)
	most := rapid.SampledFrom([]int{3, 10, 400}).Draw(t, "most lines")
	content := strings.Join(rapid.SliceOfN(line, 0, most).Draw(t, "lines"), "\r\n") + "\r\n"
	hold := inMemory
	if rapid.Bool().Draw(t, "on disk") {
		hold = onDisk
	}
	var to []string
	for i := range rapid.SampledFrom([]int{1, 2, 5, 127, 128, 129, 300}).Draw(t, "recipients") {
		switch rapid.IntRange(0, 5).Draw(t, "judgement") {
		case 0:
			to = append(to, "refuse@b.test")
		case 1:
			to = append(to, "later@b.test")
		default:
			to = append(to, fmt.Sprintf("x%d@b.test", i))
		}
	}
	tx := transaction(hold(content), to...)
	if rapid.IntRange(0, 9).Draw(t, "sender refused") == 0 {
		tx.Envelope.Sender = address("refuse@a.test")
	}
	return tx
}

func checkTaken(t *rapid.T, tx *Transaction, taken []message) {
	var accepted []mail.Address
	for i, r := range tx.Results {
		a := tx.Envelope.Recipients[i].Address
		want := 250
		switch {
		case tx.Envelope.Sender.Local == "refuse" || a.Local == "refuse":
			want = 550
		case a.Local == "later":
			want = 451
		default:
			accepted = append(accepted, a)
		}
		if r.Reply.Code != want {
			t.Fatalf("recipient %v: %v", a, r.Reply)
		}
	}
	if len(accepted) == 0 {
		if len(taken) != 0 {
			t.Fatalf("%d messages for nobody", len(taken))
		}
		return
	}
	content := make([]byte, tx.Content.Size())
	_, _ = tx.Content.ReadAt(content, 0)
	if len(taken) != 1 || taken[0].content != string(content) || !slices.Equal(taken[0].rcpts, accepted) || taken[0].from != tx.Envelope.Sender {
		t.Fatalf("%d messages; want %q to %v", len(taken), content, accepted)
	}
}
