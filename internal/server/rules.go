package server

import (
	"fmt"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/policy"
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
