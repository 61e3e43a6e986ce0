package smtptest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxRepeat bounds "repeat N".
const maxRepeat = 1_000_000

// verb is what happens in a step.
type verb uint8

const (
	say verb = iota // who speaks is in step.who
	sayEndless
	sayDripping
	wait
	stall
	deaf
	content
	chunk
	obey
	startTLS
	expectEnd
	end
	reset
	nextConnection
)

var words = map[string]verb{
	"stall": stall, "deaf": deaf, "content": content, "chunk": chunk, "obey": obey, "close": expectEnd, "close!": end,
	"reset": reset, "connection": nextConnection,
}

// step is one line of a script.
type step struct {
	line  int // in the text, from 1
	text  string
	verb  verb
	who   byte   // 'C' or 'S'
	data  string // what is said: octets
	whole bool   // a line: CRLF follows
	times int
	pause time.Duration
	kind  string // of certificate
}

func (s *step) fault(err error) error {
	return fmt.Errorf("script line %d: %s: %w", s.line, s.text, err)
}

// parseScript reads the lines of a script; first is the number of its first line.
func parseScript(script string, first int) ([]step, error) {
	var steps []step
	for i, line := range strings.Split(script, "\n") {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		s := step{line: first + i, text: line, times: 1}
		if err := s.parse(line); err != nil {
			return nil, s.fault(err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func (s *step) parse(line string) error {
	if len(line) >= 2 && (line[0] == 'C' || line[0] == 'S') && (line[1] == ':' || line[1] == '-') {
		return s.parseSpeech(line)
	}
	word, rest, _ := strings.Cut(strings.TrimRight(line, " \t"), " ")
	switch word {
	case "wait":
		s.verb = wait
		return s.parsePause(rest)
	case "tls":
		s.verb, s.kind = startTLS, rest
		if _, known := certificateKinds[rest]; !known {
			return fmt.Errorf("no such kind of certificate: %q", rest)
		}
		return nil
	case "endless":
		s.verb = sayEndless
		return s.parseSpeech(strings.TrimLeft(line[len(word):], " "))
	case "drip", "repeat":
		what, speech, _ := strings.Cut(strings.TrimLeft(line[len(word):], " "), " ")
		var err error
		if word == "drip" {
			s.verb, err = sayDripping, s.parsePause(what)
		} else {
			err = s.parseTimes(what)
		}
		return errors.Join(err, s.parseSpeech(strings.TrimLeft(speech, " ")))
	}
	if v, known := words[word]; known && rest == "" {
		s.verb = v
		return nil
	}
	return errors.New("a line begins with C: S: C- or S-, or is a word of the language")
}

func (s *step) parseSpeech(line string) error {
	if len(line) < 2 || line[0] != 'C' && line[0] != 'S' || line[1] != ':' && line[1] != '-' {
		return errors.New("what is said begins with C: S: C- or S-")
	}
	s.who, s.whole = line[0], line[1] == ':'
	var err error
	s.data, err = unescape(strings.TrimPrefix(line[2:], " "))
	if err == nil && s.verb == sayEndless && s.data == "" && !s.whole {
		err = errors.New("nothing is said")
	}
	return err
}

func (s *step) parsePause(text string) error {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err == nil && d < 0 {
		err = errors.New("a time is not negative")
	}
	s.pause = d
	return err
}

func (s *step) parseTimes(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRepeat {
		return fmt.Errorf("repeat wants a number from 1 to %d", maxRepeat)
	}
	s.times = n
	return nil
}

// connections splits the steps at each "connection".
func connections(steps []step) [][]step {
	out := [][]step{nil}
	for _, s := range steps {
		if s.verb == nextConnection {
			out = append(out, nil)
			continue
		}
		out[len(out)-1] = append(out[len(out)-1], s)
	}
	return out
}

// unescape replaces \r \n \t \0 \\ and \xHH.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errors.New(`a \ at the end`)
		}
		switch s[i] {
		case 'r':
			b.WriteByte('\r')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case '0':
			b.WriteByte(0)
		case '\\':
			b.WriteByte('\\')
		case 'x':
			if i+2 >= len(s) {
				return "", errors.New(`\x wants two hexadecimal digits`)
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", errors.New(`\x wants two hexadecimal digits`)
			}
			b.WriteByte(byte(v))
			i += 2
		default:
			return "", fmt.Errorf(`\%c is not known`, s[i])
		}
	}
	return b.String(), nil
}
