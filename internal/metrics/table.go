package metrics

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one row of the table.
type metric struct {
	name   string
	kind   prometheus.ValueType // of those that are read at a scrape
	typ    string               // as the manual says it
	labels []string
	help   string
	desc   *prometheus.Desc
}

// table is all metrics, in the order of the manual.
var table []*metric

func add(name, typ string, kind prometheus.ValueType, help string, labels []string) *metric {
	m := &metric{name: "sluice_" + name, typ: typ, kind: kind, labels: labels, help: help}
	m.desc = prometheus.NewDesc(m.name, help, labels, nil)
	table = append(table, m)
	return m
}

func gauge(name, help string, labels ...string) *metric {
	return add(name, "gauge", prometheus.GaugeValue, help, labels)
}

func counter(name, help string, labels ...string) *metric {
	return add(name, "counter", prometheus.CounterValue, help, labels)
}

func histogram(name, help string, labels ...string) *metric {
	return add(name, "histogram", prometheus.UntypedValue, help, labels)
}

// Metrics that are counted while things happen are marked so; all others are read at a
// scrape.
var (
	buildInfo  = gauge("build_info", "The version that runs; always 1.", "version")
	uptime     = gauge("uptime_seconds", "Time since the server started.")
	generation = gauge("config_generation", "Number of the configuration in force; each reload adds one.")

	received  = counter("recipients_received_total", "Recipients of messages accepted. Counted as accounting records are.", "binding")
	delivered = counter("recipients_delivered_total", "Recipients delivered to.", "binding")
	deferred  = counter("recipients_deferred_total", "Attempts for a recipient that failed for the time being.", "binding")
	bounced   = counter("recipients_bounced_total", "Recipients refused for good or expired.", "binding")

	messages    = gauge("messages", "Messages that are queued.")
	parts       = gauge("parts", "Parts of messages, by where they are: queued waits for a time, ready for a connection, delivering is on one.", "state")
	queues      = gauge("queues", "Queues that hold mail or connections.")
	oldest      = gauge("oldest_message_seconds", "Age of the oldest message.")
	bindingPart = gauge("binding_parts", "Parts by binding, queued or ready.", "binding", "state")

	connections = gauge("connections", "Outbound connections by what they do: opening, idle, delivering, closing.", "state")
	bindingConn = gauge("binding_connections", "Outbound connections by binding.", "binding")

	waitingQueues = gauge("waiting_queues", "Queues that want a connection and wait, by what they wait for: the option of a limit, or a word.", "cause")
	waitedSeconds = counter("waited_seconds_total", "Time that queues waited for connections, all of them together, by cause.", "cause")

	limitCounters = gauge("limit_counters", "Counters and throttles there are, by option.", "option")
	limitFull     = gauge("limit_counters_full", "Counters that have no room, and throttles with waiters, by option.", "option")
	limitUse      = gauge("limit_use", "Connections on the counters of an option, all of them together.", "option")
	limitMax      = gauge("limit_max", "Limits of the counters of an option, all of them together.", "option")
	limitWaiters  = gauge("limit_waiters", "Queues in the lines of the counters of an option.", "option")
	limitGrants   = counter("limit_grants_total", "Permits, or tokens, that the counters of an option granted.", "option")
	limitBlocked  = counter("limit_blocked_seconds_total", "Time that queues stood in the lines of an option, all of them together.", "option")

	keyUse     = gauge("limit_key_use", "Connections on one counter of the server, a binding, a group or a stanza; under key other: on those not told apart.", "option", "key")
	keyMax     = gauge("limit_key_max", "The limit of such a counter.", "option", "key")
	keyWaiters = gauge("limit_key_waiters", "Queues in its line.", "option", "key")
	keyGrants  = counter("limit_key_grants_total", "Permits, or tokens, that it granted since it is there.", "option", "key")
	keyBlocked = counter("limit_key_blocked_seconds_total", "Time that queues stood in its line.", "option", "key")

	spoolMessages    = gauge("spool_messages", "Messages in the spool.")
	spoolLive        = gauge("spool_live_bytes", "Octets of live records.")
	spoolDisk        = gauge("spool_disk_bytes", "Octets of all segments.")
	spoolFree        = gauge("spool_free_bytes", "Octets free on the file system; -1 when unknown.")
	spoolSegments    = gauge("spool_segments", "Segments there are.")
	spoolSyncs       = counter("spool_syncs_total", "Syncs of segments to disk.")
	spoolQuarantined = gauge("spool_quarantined_records", "Damaged records that were set aside since the spool was made.")
	spoolSick        = gauge("spool_sick", "1 when a write or sync has failed and intake is stopped.")
	spoolFull        = gauge("spool_full", "1 when intake is refused for want of room.")

	backlog = gauge("write_backlog", "What waits to be written: outcomes by the scheduler's count, accounts before the writer, changes before the spool.", "stage")

	sessions        = gauge("sessions", "Inbound SMTP sessions that are open.")
	intakeAccepted  = counter("intake_accepted_total", "Messages accepted.")
	intakeRefused   = counter("intake_refused_total", "Sessions, commands and messages refused, by reason. Counted as it happens.", "reason")
	reportsTaken    = counter("reports_taken_total", "Reports and complaints from receivers, by what they say: remote_bounce, remote_status, feedback, or unknown; verified is yes when they showed a tag of this server's. Counted as it happens.", "kind", "verified")
	intakePressured = gauge("intake_closed", "1 when new mail is refused for the time being.")

	dnsAsked    = counter("dns_questions_total", "Questions put to the resolver.")
	dnsHits     = counter("dns_cache_hits_total", "Of them, answered from the cache.")
	dnsStale    = counter("dns_cache_stale_total", "Of them, answered from the cache beyond its time.")
	dnsQueries  = counter("dns_lookups_total", "Lookups that went to the network.")
	dnsFailures = counter("dns_lookup_failures_total", "Of them, without an answer.")
	dnsEntries  = gauge("dns_cache_entries", "Answers in the cache.")

	lockHeld   = histogram("scheduler_held_seconds", "How long the scheduler's lock was held: for an event (step) or a look (view). Counted as it happens.", "use")
	lockWaited = histogram("scheduler_wait_seconds", "How long an event or a look waited for the scheduler's lock. Counted as it happens.", "use")

	filesLimit = gauge("open_files_limit", "Open files that the system allows.")
	filesRoom  = gauge("open_files_connections", "Outbound connections that they leave room for.")
)

// Page is the table of all metrics, as the manual has it.
func Page() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it is |\n| --- | --- | --- | --- |\n")
	for _, m := range table {
		labels := "–"
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.typ, labels, m.help)
	}
	return b.String()
}
