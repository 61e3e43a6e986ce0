package sign

import (
	"io"
	"mime"
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

// addressDomain reads the first address of a From field's value. Real mail breaks RFC 5322
// there in harmless ways (an unquoted comma, raw 8-bit text, an encoded word of a charset
// that Go does not know), and none of that is a reason to leave it unsigned.
func addressDomain(value string) string {
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: asItIs}}
	list, err := parser.ParseList(strings.TrimSpace(value))
	if err == nil && len(list) > 0 {
		return domainOf(list[0].Address)
	}
	return domainOf(bracketed(value))
}

// asItIs leaves the text of a display name undecoded: nobody reads it here.
func asItIs(_ string, text io.Reader) (io.Reader, error) { return text, nil }

func domainOf(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(address[at+1:]))
}

// bracketed is what stands in the first angle brackets outside of quoted strings.
func bracketed(value string) string {
	open, quoted := -1, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '<' && !quoted:
			open = i + 1
		case c == '>' && !quoted && open >= 0:
			return value[open:i]
		}
	}
	return ""
}
