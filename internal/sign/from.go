package sign

import (
	"net/mail"
	"strings"
)

// FromDomain is the domain of the author's address in a header block: of the first one
// in the first From field. Empty when there is none that can be read.
func FromDomain(block []byte) string { return fromDomain(parseHeader(block)) }

func fromDomain(fields []field) string {
	for i := range fields {
		if fields[i].name == "from" {
			_, value, _ := strings.Cut(string(fields[i].raw), ":")
			return addressDomain(strings.NewReplacer("\r", "", "\n", "").Replace(value))
		}
	}
	return ""
}

func addressDomain(value string) string {
	parser := mail.AddressParser{}
	list, err := parser.ParseList(strings.TrimSpace(value))
	if err != nil || len(list) == 0 {
		return ""
	}
	at := strings.LastIndexByte(list[0].Address, '@')
	return strings.ToLower(list[0].Address[at+1:])
}
