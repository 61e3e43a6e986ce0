package sink

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// slack is how much earlier than its turn an event may come, beside the one event
// that is always forgiven: the delay between a sender's clock and ours varies.
const slack = 10 * time.Millisecond

// Rate is a number of events in a time. The zero Rate is none.
type Rate struct {
	Events int           // 1..1e9; 0: no rate
	Per    time.Duration // 1 ns or more when Events is set
	Burst  int           // events at one instant; 0: as the judge has it by default
}

// IsZero reports whether r limits nothing.
func (r Rate) IsZero() bool { return r.Events == 0 }

// String returns the rate as ParseRate reads it.
func (r Rate) String() string {
	if r.IsZero() {
		return "unlimited"
	}
	s := strconv.Itoa(r.Events) + "/" + strconv.FormatFloat(r.Per.Seconds(), 'f', -1, 64)
	if r.Burst > 0 {
		s += ",burst=" + strconv.Itoa(r.Burst)
	}
	return s
}

var errRate = errors.New("a rate is N (a second), N/T (T seconds), N/UNIT or N/T UNIT with s, m, h or d, then perhaps ,burst=B")

var rateUnits = map[string]time.Duration{
	"": time.Second, "s": time.Second, "sec": time.Second, "m": time.Minute, "min": time.Minute,
	"h": time.Hour, "hr": time.Hour, "d": 24 * time.Hour, "day": 24 * time.Hour,
}

// ParseRate reads "10", "60/3", "50/h", "83/5s", "10/s,burst=5" or "unlimited".
func ParseRate(s string) (Rate, error) {
	fail := fmt.Errorf("rate %q: %w", s, errRate)
	if s == "" || s == "0" || s == "unlimited" {
		return Rate{}, nil
	}
	body, burst, hasBurst := strings.Cut(s, ",burst=")
	num, per, hasPer := strings.Cut(body, "/")
	r := Rate{Per: time.Second}
	var err error
	if r.Events, err = parseCount(num); err != nil {
		return Rate{}, fail
	}
	if hasBurst {
		if r.Burst, err = parseCount(burst); err != nil {
			return Rate{}, fail
		}
	}
	if !hasPer {
		return r, nil
	}
	digits := strings.TrimRight(per, "abcdefghijklmnopqrstuvwxyz")
	unit, ok := rateUnits[per[len(digits):]]
	if !ok || per == "" {
		return Rate{}, fail
	}
	n := 1
	if digits != "" {
		if n, err = parseCount(digits); err != nil || n > int(math.MaxInt64/int64(unit)) {
			return Rate{}, fail
		}
	}
	r.Per = time.Duration(n) * unit
	return r, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n < 1 || n > 1e9 {
		return 0, errRate
	}
	return int(n), nil
}

// judge holds a stream of events against a rate: over every span of it, no more
// events than the burst, plus the span times the rate, plus one event and slack.
type judge struct {
	interval float64 // ns between events at the rate
	ahead    float64 // ns that an event may come before the theoretical time of arrival
	next     float64 // that time: when the event after the last conforming one is due
	epoch    time.Time
}

// newJudge returns a judge of r, nil when r is none. defaultBurst is used when r has
// no burst of its own.
func newJudge(r Rate, defaultBurst int) *judge {
	if r.IsZero() {
		return nil
	}
	burst := r.Burst
	if burst == 0 {
		burst = max(defaultBurst, 1)
	}
	interval := float64(r.Per) / float64(r.Events)
	// burst events at one instant conform; one more is the event of slack.
	return &judge{interval: interval, ahead: float64(burst)*interval + float64(slack)}
}

// conforms reports whether an event at now keeps to the rate. An event that does not
// is not held against those after it.
func (j *judge) conforms(now time.Time) bool {
	if j == nil {
		return true
	}
	if j.epoch.IsZero() {
		j.epoch = now
	}
	t := float64(now.Sub(j.epoch)) // monotonic; exact to the nanosecond for 100 days
	if t < j.next-j.ahead {
		return false
	}
	j.next = max(j.next, t) + j.interval
	return true
}

// perSecond is the number of events of r in a second, at least 1: the burst of a
// message rate that names none.
func (r Rate) perSecond() int {
	if r.IsZero() {
		return 1
	}
	return int(max(1, min(float64(r.Events)*float64(time.Second)/float64(r.Per), 1e9)))
}
