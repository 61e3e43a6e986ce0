package rig

import (
	"fmt"
	"testing"
	"time"
)

// The tools of the tests, without a server between them.
func TestClientsAndReceiversAgree(t *testing.T) {
	port := Port(t, "127.0.0.35")
	sink := StartSink(t, port, []string{"127.0.0.35"}, "--latency", "2ms")
	to := fmt.Sprintf("127.0.0.35:%d", port)
	accepted := StartSender(t, to, "u@one.test", 4, 1000, 200).Wait()
	Source(t, to, 5, 1000, 100, "u@two.test")
	Load(t, to, 100, "u@three.test", "")
	r := sink.Distinct(t, 400, 20*time.Second)
	if r.Messages.Accepted != 400 || r.Recipients.ByDomain["two.test"] != 100 || r.Recipients.ByDomain["three.test"] != 100 {
		t.Errorf("the sink counts %+v", r)
	}
	if last := sink.Stop(t); last.Connections.Open != 0 || last.Messages.Distinct != 400 {
		t.Errorf("its last report: %+v", last)
	}
	if a := Compare(accepted, sink.Received(t)); a.Accepted != 200 || a.Lost != 0 || a.Repeated != 0 || a.Unknown != 200 {
		t.Errorf("200 accepted, of 400 received: %v", a)
	}
}

func TestPostfixSinkKeepsEveryMessage(t *testing.T) {
	port := Port(t, "127.0.0.36")
	sink := StartPostfixSink(t, "127.0.0.36", port)
	Source(t, fmt.Sprintf("127.0.0.36:%d", port), 5, 1000, 100, "u@two.test")
	Until(t, 10*time.Second, "100 messages in the file of smtp-sink", func() bool { return len(sink.Received(t)) == 100 })
}
