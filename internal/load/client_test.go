package load

import (
	"bufio"
	"strings"
	"testing"
)

func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "250\n", "25", "abc\r\n", "250-\x1b[2J\r\n250 \xff\r\n", "999 x\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &client{r: bufio.NewReaderSize(strings.NewReader(s), replyBuffer)}
		r, err := c.read(func(line string) {
			if strings.ContainsAny(line, "\r\n\x1b\x00") {
				t.Fatalf("%q: a line %q that a terminal would obey", s, line)
			}
		})
		if err == nil && (r.code < 200 || r.code > 599) {
			t.Fatalf("%q: code %d", s, r.code)
		}
	})
}
