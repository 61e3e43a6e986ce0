package sim

import (
	"fmt"
	"strconv"
	"time"
)

// sentence takes words one by one and remembers the first that was wrong.
type sentence struct {
	words []string
	line  int // of the file
	err   error
}

func (s *sentence) more() bool { return len(s.words) > 0 }

func (s *sentence) word() string {
	if len(s.words) == 0 {
		s.note(fmt.Errorf("a word is missing"))
		return ""
	}
	x := s.words[0]
	s.words = s.words[1:]
	return x
}

func (s *sentence) is(x string) bool {
	if len(s.words) > 0 && s.words[0] == x {
		s.words = s.words[1:]
		return true
	}
	return false
}

func (s *sentence) must(x string) {
	if !s.is(x) {
		s.wrong(x)
	}
}

func (s *sentence) number() int {
	n, err := strconv.Atoi(s.word())
	s.note(err)
	return n
}

func (s *sentence) duration() time.Duration {
	d, err := time.ParseDuration(s.word())
	s.note(err)
	return d
}

func (s *sentence) wrong(want string) { s.note(fmt.Errorf("%s expected", want)) }

func (s *sentence) note(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *sentence) end() error {
	if s.err == nil && len(s.words) > 0 {
		return fmt.Errorf("%q is too much", s.words[0])
	}
	return s.err
}
