package route

import (
	"math"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Candidate is a binding that could carry a message.
type Candidate struct {
	Name   string
	Weight int // >= 1; less counts as 1
}

// Pick chooses one candidate for a message and returns its index, -1 if there is
// none. The choice depends on the message's ID, the names and the weights alone, so it
// is the same after a restart and on every node. In the long run each candidate gets
// its weight's share, and a candidate that leaves gives only its own messages to the
// others (weighted rendezvous hashing).
func Pick(id mail.ID, candidates []Candidate) int {
	best, bestScore := -1, math.Inf(-1)
	for i, c := range candidates {
		// -ln(u)/w is exponential with rate w: the smallest of them is c with
		// probability w / sum of w.
		u := (float64(hash(id, c.Name)>>11) + 0.5) / (1 << 53)
		score := math.Log(u) / float64(max(c.Weight, 1))
		if score > bestScore || score == bestScore && c.Name < candidates[best].Name {
			best, bestScore = i, score
		}
	}
	return best
}

// hash is FNV-1a over id and name with a finishing mix: FNV alone leaves the high
// bits of short inputs alike.
func hash(id mail.ID, name string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range id {
		h = (h ^ uint64(b)) * 1099511628211
	}
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
