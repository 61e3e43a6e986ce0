package server

import (
	"cmp"
	"fmt"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// readRules reads the reply rules of a configuration.
func readRules(snap *policy.Snapshot) (*classify.Rules, error) {
	rules, diags := (&config.Loader{}).Rules(snap.ReplyRules)
	if rules == nil {
		return nil, fmt.Errorf("reply rules: %w", diags.Err())
	}
	return rules, nil
}

// judge says what a reply is about, by the rules in force.
func (s *Server) judge(subject *classify.Subject) classify.Judgement {
	return s.rules.Load().Judge(subject)
}

// classify says what the last reply of a queue is about, when a receiver gave it. Its
// host is not kept with it: the queue's first one is of the same receiver.
func (b backend) classify(e *sched.Explanation) {
	s := classify.Subject{Reply: classify.ParseReply(e.LastReply), Domain: e.Routing}
	if s.Reply.Code == 0 {
		return
	}
	if len(e.Hosts) > 0 {
		s.Host = e.Hosts[0].Host
	}
	j := b.judge(&s)
	e.LastClass = &sched.ReplyClass{Class: j.Cause.String(), BounceClass: int(j.Bounce), Bounce: j.Bounce.String()}
	if j.Cause != classify.CauseUnknown {
		e.LastClass.Scope = j.Reach.String()
	}
	if r := cmp.Or(j.CauseRule, j.BounceRule); r != nil {
		e.LastClass.Rule = r.Name
	}
}
