package sink

import (
	"errors"
	"strconv"
	"strings"
)

// command is one line of a client, split into its verb, in upper case, and the rest.
type command struct {
	verb string
	arg  string
}

func parseCommand(line string) command {
	verb, arg, _ := strings.Cut(strings.TrimRight(line, " \t\r\n"), " ")
	return command{verb: strings.ToUpper(verb), arg: strings.TrimSpace(arg)}
}

var (
	errSyntax    = errors.New("syntax error")
	errParameter = errors.New("unknown parameter")
)

// path is the argument of MAIL or RCPT (RFC 5321 §4.1.1.2, §4.1.1.3).
type path struct {
	address string // as written, without brackets; empty for <>
	domain  string // after the last @, lower case, without trailing dot; empty for <> and <postmaster>
	size    int64  // SIZE=, 0 when absent
}

// parameters that the announced extensions bring, by verb.
var parameters = map[string]map[string]bool{
	"FROM:": {"SIZE": true, "BODY": true, "SMTPUTF8": true, "RET": true, "ENVID": true},
	"TO:":   {"NOTIFY": true, "ORCPT": true},
}

// parsePath reads "FROM:<a@b> SIZE=1" or "TO:<a@b>"; keyword is "FROM:" or "TO:".
func parsePath(keyword, arg string) (path, error) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return path{}, errSyntax
	}
	rest := strings.TrimLeft(arg[len(keyword):], " ")
	if !strings.HasPrefix(rest, "<") {
		return path{}, errSyntax
	}
	end := closingBracket(rest)
	if end < 0 {
		return path{}, errSyntax
	}
	p := path{address: rest[1:end]}
	if at := strings.LastIndexByte(p.address, '@'); at >= 0 {
		p.domain = strings.ToLower(strings.TrimSuffix(p.address[at+1:], "."))
		if at == 0 || p.domain == "" {
			return path{}, errSyntax
		}
	}
	return p, p.parameters(keyword, rest[end+1:])
}

// closingBracket finds the > that ends a path; one inside a quoted local part does not.
func closingBracket(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}

func (p *path) parameters(keyword, s string) error {
	if s != "" && s[0] != ' ' {
		return errSyntax
	}
	for field := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(field, "=")
		name = strings.ToUpper(name)
		if !parameters[keyword][name] {
			return errParameter
		}
		if name == "SIZE" {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return errSyntax
			}
			p.size = n
		}
	}
	return nil
}

// parseBDAT reads "SIZE" or "SIZE LAST" (RFC 3030 §2).
func parseBDAT(arg string) (size int64, last bool, err error) {
	num, rest, more := strings.Cut(arg, " ")
	n, err := strconv.ParseUint(num, 10, 62)
	if err != nil || more && !strings.EqualFold(strings.TrimSpace(rest), "LAST") {
		return 0, false, errSyntax
	}
	return int64(n), more, nil
}
