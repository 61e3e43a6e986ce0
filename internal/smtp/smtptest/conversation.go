package smtptest

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Conversation is a receiver with what is sent to it and what must become of it.
type Conversation struct {
	Name     string   // of the file, without ".txt"
	About    string   // the comment at its head
	To       []string // local parts
	Messages int
	Size     int    // octets of a message; 0: a few lines
	Idle     bool   // the connection is left open until the receiver ends it
	TLS      string // no, if-available, required, verified
	Timeouts map[string]time.Duration
	Expect   [][]string // for each message, an outcome for each recipient
	Ends     string     // empty: either way
	Says     string
	Octets   int
	Server   string // what the whole server makes of it; empty: as Expect has it

	connections [][]step
}

// DefaultOctets is how much of a receiver's speech is read at most where a conversation
// says nothing else: one reply of the greatest length, and a little.
const DefaultOctets = 70_000

var (
	outcomes  = []string{"delivered", "deferred", "bounced", "again", "returned", "trouble"}
	endings   = []string{"ok", "busy", "host", "tls", "never"}
	tlsModes  = []string{"no", "if-available", "required", "verified"}
	timeables = []string{"connect", "greeting", "ehlo", "tls", "mail-from", "rcpt-to", "data", "data-block", "body", "rset", "quit"}
)

// ParseConversation reads a file of the zoo. The error names the line.
func ParseConversation(name, text string) (*Conversation, error) {
	c := &Conversation{Name: name, To: []string{"x"}, Messages: 1, TLS: "no", Timeouts: map[string]time.Duration{}, Octets: DefaultOctets}
	lines := strings.Split(text, "\n")
	n, err := c.header(lines)
	if err != nil {
		return nil, err
	}
	steps, err := parseScript(strings.Join(lines[n:], "\n"), n+1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.connections = connections(steps)
	return c, c.check()
}

// header reads comments and keys, and returns how many lines they are. The first comment
// is what the conversation is about.
func (c *Conversation) header(lines []string) (int, error) {
	talking := true
	for i, line := range lines {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, ":")
		if comment, is := strings.CutPrefix(line, "#"); is {
			if talking {
				c.About = strings.TrimSpace(c.About + " " + strings.TrimSpace(comment))
			}
			continue
		}
		talking = c.About == ""
		switch {
		case line == "":
		case ok && headerKey(key):
			if err := c.set(key, strings.TrimSpace(value)); err != nil {
				return 0, fmt.Errorf("%s line %d: %s: %w", c.Name, i+1, line, err)
			}
		default:
			return i, nil
		}
	}
	return len(lines), nil
}

func headerKey(key string) bool {
	return len(key) > 1 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz") == ""
}

func (c *Conversation) set(key, value string) error {
	switch key {
	case "to":
		c.To = strings.Fields(value)
	case "messages":
		return number(&c.Messages, value, 1, 2)
	case "size":
		return number(&c.Size, value, 1, 16<<20)
	case "octets":
		return number(&c.Octets, value, 0, 16<<20)
	case "tls":
		c.TLS = value
		return one(tlsModes, value)
	case "ends":
		c.Ends = value
		return one(endings, value)
	case "server":
		c.Server = value
		return one(outcomes[:3], value)
	case "idle":
		c.Idle = true
		return one([]string{"yes"}, value)
	case "says":
		c.Says = value
	case "timeout":
		what, length, _ := strings.Cut(value, " ")
		d, err := time.ParseDuration(strings.TrimSpace(length))
		c.Timeouts[what] = d
		return errors.Join(err, one(timeables, what))
	case "expect":
		var all []string
		for _, o := range strings.Split(value, ",") {
			all = append(all, strings.TrimSpace(o))
		}
		c.Expect = append(c.Expect, all)
		return one(outcomes, all...)
	default:
		return errors.New("no such key")
	}
	return nil
}

func number(to *int, text string, low, high int) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return fmt.Errorf("want a number from %d to %d", low, high)
	}
	*to = n
	return nil
}

func one(of []string, values ...string) error {
	for _, v := range values {
		if !slices.Contains(of, v) {
			return fmt.Errorf("%q is none of %s", v, strings.Join(of, ", "))
		}
	}
	return nil
}

// check completes the outcomes: the last line is for all further messages, and one
// outcome for all recipients.
func (c *Conversation) check() error {
	switch {
	case len(c.Expect) == 0:
		return fmt.Errorf("%s: it does not say what to expect", c.Name)
	case len(c.Expect) > c.Messages:
		return fmt.Errorf("%s: outcomes of %d messages, and there are %d", c.Name, len(c.Expect), c.Messages)
	case len(c.To) == 0:
		return fmt.Errorf("%s: nobody to send to", c.Name)
	}
	for i, all := range c.Expect {
		if len(all) == 1 {
			c.Expect[i] = slices.Repeat(all, len(c.To))
		} else if len(all) != len(c.To) {
			return fmt.Errorf("%s: %d outcomes for %d recipients", c.Name, len(all), len(c.To))
		}
	}
	for len(c.Expect) < c.Messages {
		c.Expect = append(c.Expect, c.Expect[len(c.Expect)-1])
	}
	return nil
}

//go:embed zoo/*.txt
var zoo embed.FS

// Zoo returns the conversations of zoo/*.txt by name.
func Zoo() ([]*Conversation, error) {
	files, err := fs.Glob(zoo, "zoo/*.txt")
	if err != nil {
		return nil, err
	}
	var all []*Conversation
	for _, f := range files {
		text, err := zoo.ReadFile(f)
		if err != nil {
			return nil, err
		}
		c, err := ParseConversation(strings.TrimSuffix(strings.TrimPrefix(f, "zoo/"), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
