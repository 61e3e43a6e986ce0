package server

import (
	"testing"

	"github.com/sluice-mta/sluice/internal/config"
	"github.com/sluice-mta/sluice/internal/sched"
)

func TestExplainSaysWhatTheLastReplyIsAbout(t *testing.T) {
	s := &Server{}
	s.rules.Store(config.BuiltinRules())
	for _, c := range []struct {
		reply, host string
		want        sched.ReplyClass
	}{
		{"550 Connection frequency limited", "mx3.qq.com", sched.ReplyClass{Class: "connect-rate", Scope: "receiver", BounceClass: 70, Bounce: "transient-failure", Rule: "qq-connect-rate"}},
		{"421 4.7.0 hm", "mx.test", sched.ReplyClass{Class: "unknown", BounceClass: 50, Bounce: "mail-block", Rule: "status-policy"}},
	} {
		e := sched.Explanation{LastReply: c.reply, Hosts: []sched.HostView{{Host: c.host}}}
		backend{s}.classify(&e)
		if e.LastClass == nil || *e.LastClass != c.want {
			t.Errorf("%s: %+v", c.reply, e.LastClass)
		}
	}
	e := sched.Explanation{LastReply: "4.4.1 all hosts failed"}
	if (backend{s}).classify(&e); e.LastClass != nil {
		t.Errorf("our own words: %+v", e.LastClass)
	}
}
