package server

import (
	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
)

// withLastReplies gives recipients that expired the last thing a receiver said about
// them, which is what their sender and operator want to know: the outcome is then that of
// a deferral that was the last one. Others stay as they are.
func (s *Server) withLastReplies(id mail.ID, outcomes []mail.Outcome) []mail.Outcome {
	var states []mail.RecipientState
	out := outcomes
	for i := range outcomes {
		if r := outcomes[i].Reply; r.Code != 0 || r.Enhanced != classify.Expired {
			continue
		}
		if states == nil {
			var err error
			if states, err = s.spool.States(id); err != nil || len(states) == 0 {
				return outcomes
			}
			out = append([]mail.Outcome(nil), outcomes...)
		}
		if last := lastReply(states, outcomes[i].Recipient); !last.IsZero() {
			out[i].Class, out[i].Reply = mail.ClassDeferred, last
		}
	}
	return out
}
