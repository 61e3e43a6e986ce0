package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"
)

const lineLength = 74 // of a body line, with its CRLF

var dot = []byte(".\r\n")

// composer makes the messages of a run. It is read by all sessions at once.
type composer struct {
	opts   Options
	run    string
	head   string  // the header lines that are the same in every message
	body   []byte  // whole lines, as many as any message needs
	tail   []byte  // the end of it is the last line of a message
	order  []int32 // number of the domain of each message; nil without Domains
	local  string  // of the recipient
	extras map[string]bool
}

func newComposer(o Options, run string) *composer {
	c := &composer{opts: o, run: run, extras: map[string]bool{}}
	for _, h := range o.Headers {
		name, _, _ := strings.Cut(h, ":")
		c.extras[strings.ToLower(name)] = true
		c.head += h + "\r\n"
	}
	add := func(name, value string) {
		if !c.extras[strings.ToLower(name)] {
			c.head += name + ": " + value + "\r\n"
		}
	}
	add("Date", time.Now().Format(time.RFC1123Z))
	add("From", "<"+o.From+">")
	c.body = bytes.Repeat([]byte(strings.Repeat("x", lineLength-2)+"\r\n"), o.Size/lineLength+1)
	c.tail = []byte(strings.Repeat("x", lineLength) + "\r\n")
	c.local, _, _ = strings.Cut(o.Rcpt, "@")
	if o.Domains > 0 {
		c.order = make([]int32, o.Messages)
		for i := range c.order {
			c.order[i] = int32(i % o.Domains)
		}
		rng := rand.New(rand.NewPCG(o.Seed, uint64(o.Domains)))
		rng.Shuffle(len(c.order), func(i, j int) { c.order[i], c.order[j] = c.order[j], c.order[i] })
	}
	return c
}

// id returns the Message-ID of message n, from 0.
func (c *composer) id(n int) string { return fmt.Sprintf("<%d.%s@load.test>", n+1, c.run) }

func (c *composer) rcpt(n int) string {
	if c.order == nil {
		return c.opts.Rcpt
	}
	return c.local + "@d" + strconv.Itoa(int(c.order[n])+1) + "." + c.opts.DomainSuffix
}

// content returns message n with the dot that ends it; size is that of the content
// alone. head is scratch that the caller gives again; the parts alias it and c.
func (c *composer) content(n int, scratch []byte) (parts net.Buffers, size int, head []byte) {
	head = append(scratch[:0], "Message-ID: "...)
	head = append(head, c.id(n)...)
	head = append(head, "\r\n"...)
	head = append(head, c.head...)
	if !c.extras["to"] {
		head = append(head, "To: <"...)
		head = append(head, c.rcpt(n)...)
		head = append(head, ">\r\n"...)
	}
	if !c.extras["subject"] {
		head = append(head, "Subject: load message "...)
		head = strconv.AppendInt(head, int64(n+1), 10)
		head = append(head, "\r\n"...)
	}
	head = append(head, "\r\n"...)
	room := max(c.opts.Size-len(head), 2) // an empty line at least: a body that is there
	whole, rest := room/lineLength, room%lineLength
	if rest == 1 { // no line has one octet: the last is one longer
		if whole > 0 {
			whole, rest = whole-1, lineLength+1
		} else {
			rest = 2
		}
	}
	size = len(head) + whole*lineLength + rest
	parts = net.Buffers{head, c.body[:whole*lineLength], c.tail[len(c.tail)-rest:], dot}
	return parts, size, head
}
