package smtp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluice-mta/sluice/internal/mail"
)

func TestReplies(t *testing.T) {
	long := strings.Repeat("x", 3000)
	tests := []struct {
		name, in string
		want     []mail.Reply
		err      string // of the read after them; empty: io.EOF
	}{
		{"one line", "250 ok\r\n", []mail.Reply{{Code: 250, Text: "ok"}}, ""},
		{"code alone", "250\r\n", []mail.Reply{{Code: 250}}, ""},
		{"code and space", "250 \r\n", []mail.Reply{{Code: 250}}, ""},
		{"enhanced", "250 2.1.0 sender ok\r\n", []mail.Reply{{Code: 250, Enhanced: "2.1.0", Text: "sender ok"}}, ""},
		{"enhanced alone", "550 5.1.1\r\n", []mail.Reply{{Code: 550, Enhanced: "5.1.1"}}, ""},
		{"enhanced of another class is text", "550 4.1.1 hm\r\n", []mail.Reply{{Code: 550, Text: "4.1.1 hm"}}, ""},
		{"a version is no enhanced code", "220 2.0 ready\r\n", []mail.Reply{{Code: 220, Text: "2.0 ready"}}, ""},
		{"an address is no enhanced code", "220 2.0.0.1 hi\r\n", []mail.Reply{{Code: 220, Text: "2.0.0.1 hi"}}, ""},
		{"too many digits", "550 5.1234.1 x\r\n", []mail.Reply{{Code: 550, Text: "5.1234.1 x"}}, ""},
		{"many lines", "250-a\r\n250-b\r\n250 c\r\n", []mail.Reply{{Code: 250, Text: "a\nb\nc"}}, ""},
		{"many lines, the last a code alone", "250-a\r\n250\r\n", []mail.Reply{{Code: 250, Text: "a\n"}}, ""},
		{"enhanced in each line", "550-5.7.1 a\r\n550 5.7.1 b\r\n", []mail.Reply{{Code: 550, Enhanced: "5.7.1", Text: "a\nb"}}, ""},
		{"enhanced in the first line", "550-5.7.1 a\r\n550 b\r\n", []mail.Reply{{Code: 550, Enhanced: "5.7.1", Text: "a\nb"}}, ""},
		{"two replies", "250 a\r\n550 b\r\n", []mail.Reply{{Code: 250, Text: "a"}, {Code: 550, Text: "b"}}, ""},
		{"bare LF ends a line", "250-a\n250 b\n", []mail.Reply{{Code: 250, Text: "a\nb"}}, ""},
		{"bare LF does not hide a line", "250 a\nb\r\n", []mail.Reply{{Code: 250, Text: "a"}}, "not a reply"},
		{"bare LF gives two replies", "250 a\n250 b\r\n", []mail.Reply{{Code: 250, Text: "a"}, {Code: 250, Text: "b"}}, ""},
		{"bare CR is a space", "250 a\rb\r\n", []mail.Reply{{Code: 250, Text: "a b"}}, ""},
		{"CR CR LF", "250 a\r\r\n", []mail.Reply{{Code: 250, Text: "a "}}, ""},
		{"NUL and 8-bit are data", "250 a\x00\xff\r\n", []mail.Reply{{Code: 250, Text: "a\x00\xff"}}, ""},
		{"long line", "250 " + long + "\r\n250 b\r\n", []mail.Reply{{Code: 250, Text: long}, {Code: 250, Text: "b"}}, ""},
		{"unknown code", "599 x\r\n", []mail.Reply{{Code: 599, Text: "x"}}, ""},
		{"two digits", "25 ok\r\n", nil, "not a reply"},
		{"four digits", "2500 ok\r\n", nil, "not a reply"},
		{"1xx", "150 ok\r\n", nil, "not a reply"},
		{"6xx", "650 ok\r\n", nil, "not a reply"},
		{"letters", "2x0 ok\r\n", nil, "not a reply"},
		{"tab", "250\tok\r\n", nil, "not a reply"},
		{"text first", "hello\r\n250 ok\r\n", nil, "not a reply"},
		{"empty line", "\r\n250 ok\r\n", nil, "not a reply"},
		{"blank first", " 250 ok\r\n", nil, "not a reply"},
		{"the code changes", "250-a\r\n550 b\r\n", nil, "the code changes from 250 to 550"},
		{"end inside", "250 o", nil, "unexpected EOF"},
		{"end between lines", "250-a\r\n", nil, "unexpected EOF"},
		{"endless line", "250 " + strings.Repeat("x", 1<<20), nil, "more than 65536 octets"},
		{"endless line that ends", "250 " + strings.Repeat("x", mail.MaxReply) + "\r\n", nil, "more than 65536 octets"},
		{"endless lines", strings.Repeat("250-\r\n", 100_000), nil, "more than 1000 lines"},
		{"endless long lines", strings.Repeat("250-"+long+"\r\n", 100), nil, "more than 65536 octets"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				rr := NewReplyReader(src)
				for _, want := range tt.want {
					code, err := rr.Next()
					if err != nil || code != want.Code {
						t.Fatalf("got %d, %v; want %v", code, err, want)
					}
					if got := rr.Reply(mail.StageNone); got != want {
						t.Errorf("got %+v, want %+v", got, want)
					}
				}
				_, err := rr.Next()
				if tt.err == "" && !errors.Is(err, io.EOF) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
					t.Errorf("then got %v, want %q", err, tt.err)
				}
				if len(rr.buf) > mail.MaxReply+1 {
					t.Errorf("the buffer has %d octets", len(rr.buf))
				}
			}
		})
	}
}

func TestReplyReaderGivesItsMemoryBack(t *testing.T) {
	rr := NewReplyReader(strings.NewReader("250 " + strings.Repeat("x", 60_000) + "\r\n250 ok\r\n"))
	for range 2 {
		if _, err := rr.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rr.Next(); !errors.Is(err, io.EOF) || len(rr.buf) != replyBuffer {
		t.Errorf("got %v, a buffer of %d octets", err, len(rr.buf))
	}
}

func FuzzReply(f *testing.F) {
	files, _ := filepath.Glob("testdata/replies/*.txt")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("250-2.0.0 a\r\n250 2.0.0 b\r\n421 x\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := NewReplyReader(bytes.NewReader(in))
		bits := NewReplyReader(iotest.OneByteReader(bytes.NewReader(in)))
		for {
			a, errA := whole.Next()
			b, errB := bits.Next()
			if a != b || (errA == nil) != (errB == nil) {
				t.Fatalf("whole: %d %v; in bits: %d %v", a, errA, b, errB)
			}
			if errA != nil {
				return
			}
			r, q := whole.Reply(mail.StageDot), bits.Reply(mail.StageDot)
			if r != q {
				t.Fatalf("whole: %+v; in bits: %+v", r, q)
			}
			if r.Class() < 2 || r.Class() > 5 || len(r.Text) > mail.MaxReply || strings.ContainsRune(r.Text, '\r') {
				t.Fatalf("reply %+v", r)
			}
			if r.Enhanced != "" && int(r.Enhanced[0]-'0') != r.Class() {
				t.Fatalf("enhanced code of another class: %+v", r)
			}
		}
	})
}
