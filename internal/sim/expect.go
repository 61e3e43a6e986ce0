package sim

import (
	"fmt"
	"strings"
)

// expect compares a figure of the world with what the scenario says.
func (w *World) expect(s *sentence) error {
	what := s.word()
	if len(s.words) > 0 && s.words[0] == "waits" {
		return w.expectWait(what, s)
	}
	if len(s.words) > 0 && (s.words[0] == "says" || s.words[0] == "rolled") {
		return w.expectWords(what, s.words[0] == "rolled", strings.Join(s.words[1:], " "))
	}
	var got int
	switch what {
	case "delivered":
		got = w.books.Delivered
	case "job":
		got = w.books.jobs[s.word()]
	case "bounced":
		got = w.books.Bounced
	case "expired":
		got = w.books.Expired
	case "deferred":
		got = w.books.Deferred
	case "delays":
		got = w.books.Delays
	case "twice":
		got = w.books.Twice
	case "messages":
		got = w.machine().Totals(w.now).Messages
	case "connections":
		got = len(w.conns)
	case "peak":
		got = w.referee.Peak[s.word()]
	case "moves":
		got = w.referee.Moves
	case "open":
		got = w.referee.open[s.word()]
	case "accepted":
		got = w.Receiver(s.word()).accepted
	case "refused":
		got = w.Receiver(s.word()).refused
	case "log":
		subject := strings.Join(s.words, " ")
		for _, l := range w.Logs {
			if l.Subject == subject {
				return nil
			}
		}
		return fmt.Errorf("nothing was logged about it; logged: %v", w.Logs)
	default:
		return fmt.Errorf("nothing known of that name")
	}
	least, atMost := false, false
	if s.is("at") {
		least = s.is("least")
		if !least {
			s.must("most")
			atMost = true
		}
	}
	want := s.number()
	if err := s.end(); err != nil {
		return err
	}
	if got == want || least && got > want || atMost && got < want {
		return nil
	}
	return fmt.Errorf("it is %d\n%s", got, w.explain())
}

// expectWords compares what explain says of a queue.
func (w *World) expectWords(queue string, rollup bool, words string) error {
	x, ok := w.machine().Explain(w.now, queue)
	said := x.State
	if rollup {
		said = x.Rollup
	}
	switch {
	case !ok:
		return fmt.Errorf("there is no such queue")
	case !strings.Contains(said, words):
		return fmt.Errorf("it says:\n%s", w.explainQueue(queue))
	}
	return nil
}

func (w *World) expectWait(queue string, s *sentence) error {
	s.must("waits")
	s.must("on")
	option := s.word()
	x, ok := w.machine().Explain(w.now, queue)
	switch {
	case s.err != nil:
		return s.err
	case !ok:
		return fmt.Errorf("there is no such queue")
	case x.WaitingOn == nil || x.WaitingOn.Option != option:
		return fmt.Errorf("it says:\n%s", w.explainQueue(queue))
	}
	return nil
}
