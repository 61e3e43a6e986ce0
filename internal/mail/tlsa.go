package mail

import (
	"encoding/hex"
	"strconv"
)

// TLSA is one DANE record (RFC 6698 §2.1): what the certificate of a receiver must be or
// descend from.
type TLSA struct {
	Usage    uint8 // 2: a trust anchor (DANE-TA), 3: the receiver's own (DANE-EE)
	Selector uint8 // 0: the whole certificate, 1: its public key
	Matching uint8 // 0: the octets themselves, 1: SHA-256, 2: SHA-512
	Data     []byte
}

// String is the record's data in master-file form, long data cut.
func (t TLSA) String() string {
	data := hex.EncodeToString(t.Data[:min(len(t.Data), 64)])
	if len(t.Data) > 64 {
		data += "..."
	}
	return strconv.Itoa(int(t.Usage)) + " " + strconv.Itoa(int(t.Selector)) + " " + strconv.Itoa(int(t.Matching)) + " " + data
}
