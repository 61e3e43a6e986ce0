package rig

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A line counts what goes over it, and delays it.
func TestLine(t *testing.T) {
	port, at := Port(t, "127.0.0.36"), Port(t, "127.0.0.37")
	sink := StartSink(t, port, []string{"127.0.0.36"})
	addr := fmt.Sprintf("127.0.0.37:%d", at)
	line := StartLine(t, addr, fmt.Sprintf("127.0.0.36:%d", port), 20*time.Millisecond)
	begin := time.Now()
	Source(t, addr, 5, 1000, 100, "u@one.test")
	if took, least := time.Since(begin), 100/5*20*time.Millisecond; took < least {
		t.Errorf("100 messages over 5 sessions took %v; 20 round trips are %v", took, least)
	}
	free := func() bool { open, _, _ := line.Counts(); return open == 0 }
	Until(t, 10*time.Second, "the line to be free", free)
	c, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	if reply := c.Greet("client.test"); !strings.HasPrefix(reply, "250") {
		t.Errorf("greeted with %q", reply)
	}
	c.Close() // without QUIT: the receiver hears of it
	Until(t, 10*time.Second, "the line to be free again", free)
	r := sink.Stop(t)
	if _, peak, accepted := line.Counts(); peak != 5 || accepted != 6 || r.Messages.Distinct != 100 || r.Connections.Accepted != accepted {
		t.Errorf("%v; the receiver saw %+v", line, r)
	}
}
