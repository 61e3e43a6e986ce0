package smtp

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// contentOf reads content from input that comes in pieces of step octets, and returns
// with it what is left of the input.
func contentOf(cfg ServerConfig, input string, step int) (content, rest string, err error) {
	cfg.setDefaults()
	c := &ServerConn{cfg: &cfg}
	c.in.init(func(p []byte) (int, error) {
		if input == "" {
			return 0, io.EOF
		}
		n := copy(p[:min(step, len(p))], input)
		input = input[n:]
		return n, nil
	})
	defer c.in.release()
	c.content.begin(c)
	var b strings.Builder
	_, err = c.content.WriteTo(&b)
	return b.String(), string(c.in.unread()) + input, err
}

// bare holds sequences that some servers take for the end of the data, and what
// becomes of them under Normalize. Whatever is in them, the data ends at its CRLF.CRLF.
var bare = []struct{ name, input, normalized string }{
	{"LF.LF", "a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
	{"LF.CRLF", "a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
	{"LF.CR", "a\n.\rb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
	{"CRLF.LF", "a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n"},
	{"CRLF.CR", "a\r\n.\rb\r\n.\r\n", "a\r\n\r\nb\r\n"},
	{"CRLF.CRCRLF", "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\nb\r\n"},
	{"CR.CR", "a\r.\rb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
	{"CR.CRLF", "a\r.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
	{"CR.LF", "a\r.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
	{"CRCRLF.CRLF", "a\r\r\n.\r\n", "a\r\n"},
	{"LFCR.LFCR", "a\n\r.\n\rb\r\n.\r\n", "a\r\n\r\n.\r\n\r\nb\r\n"},
	{"LFLF.LFLF", "a\n\n.\n\nb\r\n.\r\n", "a\r\n\r\n.\r\n\r\nb\r\n"},
	{"CRCR.CRCR", "a\r\r.\r\rb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
	{"LF at the start", "\n.\r\nb\r\n.\r\n", "\r\n.\r\nb\r\n"},
	{"CR at the start", "\r.\r\nb\r\n.\r\n", "\r\n.\r\nb\r\n"},
	{"LF before the end", "a\n\r\n.\r\n", "a\r\n\r\n"},
}

func TestContentSmuggling(t *testing.T) {
	const after = "MAIL FROM:<x@y.test>\r\n"
	for _, c := range bare {
		for step := 1; step <= len(c.input)+1; step++ {
			got, rest, err := contentOf(ServerConfig{}, c.input+after, step)
			if !errors.Is(err, ErrBareLine) || rest != after {
				t.Errorf("%s in steps of %d: %q, rest %q, %v", c.name, step, got, rest, err)
			}
			got, rest, err = contentOf(ServerConfig{Normalize: true}, c.input+after, step)
			if err != nil || rest != after || got != c.normalized {
				t.Errorf("%s normalized in steps of %d: %q, rest %q, %v; want %q", c.name, step, got, rest, err, c.normalized)
			}
		}
	}
}

func TestContent(t *testing.T) {
	for _, c := range []struct {
		name, input, want, rest string
		err                     error
	}{
		{"empty", ".\r\n", "", "", nil},
		{"one line", "a\r\n.\r\n", "a\r\n", "", nil},
		{"empty lines", "\r\n\r\n.\r\nQUIT\r\n", "\r\n\r\n", "QUIT\r\n", nil},
		{"dots", "..\r\n..a\r\n...\r\n.b\r\nc.\r\n.d..\r\n.\r\n.\r\n", ".\r\n.a\r\n..\r\nb\r\nc.\r\nd..\r\n", ".\r\n", nil},
		{"NUL", "a\x00b\r\n.\r\n", "", "", ErrNUL},
		{"NUL at the end", "a\r\n\x00\r\n.\r\n", "", "", ErrNUL},
		{"cut off", "a\r\n", "a\r\n", "", io.ErrUnexpectedEOF},
		{"cut off before the end", "a\r\n.", "a\r\n", ".", io.ErrUnexpectedEOF},
		{"cut off at once", "", "", "", io.ErrUnexpectedEOF},
		{"too big", strings.Repeat("1234567\r\n", 12) + ".\r\n", "", "", ErrTooBig},
		{"as big as may be", strings.Repeat("12345678\r\n", 10) + ".\r\n", strings.Repeat("12345678\r\n", 10), "", nil},
		{"line as long as may be", strings.Repeat("x", 50) + "\r\n.\r\n", strings.Repeat("x", 50) + "\r\n", "", nil},
		{"line too long", strings.Repeat("x", 52) + "\r\n.\r\n", "", "", ErrLongLine},
	} {
		for step := 1; step <= len(c.input)+1; step++ {
			got, rest, err := contentOf(ServerConfig{MaxMessageSize: 100, MaxLine: 50}, c.input, step)
			if c.err == nil && (got != c.want || err != nil) || !errors.Is(err, c.err) || rest != c.rest {
				t.Errorf("%s in steps of %d: %q, rest %q, %v", c.name, step, got, rest, err)
			}
		}
	}
}

// plainContent is the rule, one octet at a time: content up to CRLF.CRLF.
func plainContent(in string) (content, rest string, clean bool) {
	end := 0
	if !strings.HasPrefix(in, ".\r\n") {
		if end = strings.Index(in, "\r\n.\r\n"); end < 0 {
			return "", "", false
		}
		end += 2
	}
	content, rest = in[:end], in[end+3:]
	left := strings.ReplaceAll(content, "\r\n", "")
	clean = !strings.ContainsAny(left, "\r\n\x00")
	content = strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n")[2:]
	return content, rest, clean
}

func TestContentAsTheRuleSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"\r\n", "\r\n", "\r\n", ".", ".", "a", "bc", "\r", "\n", "\x00", "\r\n.\r\n"}), 0, 30).Draw(t, "words")
		in := strings.Join(words, "") + "\r\n.\r\n" + strings.Join(words, "")
		step := rapid.IntRange(1, 40).Draw(t, "step")
		want, wantRest, clean := plainContent(in)
		got, rest, err := contentOf(ServerConfig{}, in, step)
		if rest != wantRest || clean != (err == nil) || clean && got != want {
			t.Fatalf("%q: got %q, rest %q, %v; want %q, rest %q", in, got, rest, err, want, wantRest)
		}
		norm, rest, err := contentOf(ServerConfig{Normalize: true}, in, step)
		if rest != wantRest || strings.Contains(in[:len(in)-len(rest)], "\x00") != errors.Is(err, ErrNUL) {
			t.Fatalf("%q normalized: rest %q, %v; want rest %q", in, rest, err, wantRest)
		}
		if left := strings.ReplaceAll(norm, "\r\n", ""); strings.ContainsAny(left, "\r\n") {
			t.Fatalf("%q normalized: %q", in, norm)
		}
	})
}

// TestLongBody goes through many fills of the buffer.
func TestLongBody(t *testing.T) {
	line := strings.Repeat("x", 997) + "\r\n"
	body := strings.Repeat(line+"..\r\n", 300) + strings.Repeat("y", 200000) + "\r\n"
	want := strings.ReplaceAll(body, "\n..", "\n.")
	for _, step := range []int{1000, 4096, 32767, 1 << 20} {
		got, _, err := contentOf(ServerConfig{MaxLine: -1}, body+".\r\n", step)
		if err != nil || got != want {
			t.Errorf("steps of %d: %d octets, %v", step, len(got), err)
		}
	}
}

func TestContentIsAReader(t *testing.T) {
	cfg := ServerConfig{}
	cfg.setDefaults()
	c := &ServerConn{cfg: &cfg}
	in := strings.NewReader("abc\r\n..d\r\n.\r\n")
	c.in.init(in.Read)
	c.content.begin(c)
	var b strings.Builder
	p := make([]byte, 2)
	for {
		n, err := c.content.Read(p)
		b.Write(p[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != "abc\r\n.d\r\n" {
		t.Errorf("got %q", b.String())
	}
	c.in.release()
}

// TestChunksAsTheRuleSays cuts content into chunks of any size, arriving in steps of any
// size: what is taken is the content, with the line end that it may lack.
func TestChunksAsTheRuleSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"\r\n", "\r\n", "\r\n", ".", "a", "bc", "\r", "\n", "\x00", "\r\n.\r\n"}), 0, 20).Draw(t, "words")
		content := strings.Join(words, "")
		var wire strings.Builder
		wire.WriteString("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n")
		for rest := content; ; {
			n := rapid.IntRange(0, len(rest)).Draw(t, "chunk")
			last := n == len(rest) && rapid.Bool().Draw(t, "last")
			fmt.Fprintf(&wire, "BDAT %d%s\r\n%s", n, map[bool]string{true: " LAST"}[last], rest[:n])
			if rest = rest[n:]; last {
				break
			}
		}
		wire.WriteString("RSET\r\nQUIT\r\n")
		h := &testHandler{}
		c := &textConn{in: []byte(wire.String()), step: rapid.IntRange(1, 50).Draw(t, "step")}
		NewServer(ServerConfig{MaxErrors: -1}, h).ServeConn(c)
		if !strings.HasSuffix(c.out.String(), "250 2.0.0 Ok\r\n221 2.0.0 localhost closing\r\n") {
			t.Fatalf("%q: %q", wire.String(), c.out.String())
		}
		clean := !strings.ContainsAny(strings.ReplaceAll(content, "\r\n", ""), "\r\n\x00")
		if len(h.messages) == 1 != clean {
			t.Fatalf("%q: taken %v, %q", wire.String(), h.messages, c.out.String())
		}
		if content != "" && !strings.HasSuffix(content, "\r\n") {
			content += "\r\n"
		}
		if clean && h.messages[0].content != content {
			t.Fatalf("%q: taken %q", wire.String(), h.messages[0].content)
		}
	})
}
