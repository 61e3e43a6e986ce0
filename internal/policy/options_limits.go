package policy

const (
	unlimited    = "unlimited"
	noSlots      = "0 admits nothing"
	laterCluster = "holds on each node alone, as a cluster of one, until nodes share their counts"
)

// limitOptions: how many connections may be open, how often things may happen, and
// the life of a connection.
var limitOptions = []Option{
	{
		Name: "max_outbound_connections", Aliases: []string{"max-smtp-out"}, Type: TypeInt, Unit: "connections", Minus: unlimited,
		Default: "32", Hosts: "-1", Scopes: inTree,
		Doc: "Connections open at once from one binding to one routing domain; in host scope from one binding to one MX host, in addition.",
	},
	{
		Name: "server_max_outbound_connections", Type: TypeInt, Unit: "connections", Minus: unlimited,
		Default: "75000", Scopes: inG | inBG | inB,
		Doc: "Connections open at once on the whole server; in a binding through that binding; in a group through each of its bindings that has no value of its own.",
	},
	{
		Name: "server_reserve_outbound_connections", Type: TypeInt, Unit: "connections", Default: "200", Scopes: inG,
		Doc: "Slots above server_max_outbound_connections, for queues that have no connection at all.",
	},
	{
		Name: "scope_max_outbound_connections", Type: TypeInt, Unit: "connections", Minus: unlimited, Scopes: inTree, ByReference: true,
		Doc: "Connections open at once under the stanza that sets it, counted together over all names and bindings that it covers.",
	},
	{
		Name: "cluster_max_outbound_connections", Type: TypeInt, Unit: "connections", Minus: unlimited,
		Default: "-1", Scopes: inG | inB | inD | inH, NotInGroup: true, NotInDomain: true, Chain: clusterChain, HostChain: clusterHostChain,
		Doc:   "As max_outbound_connections, summed over all nodes of the cluster; in host scope over all nodes and bindings. Not valid in a binding_group.",
		Later: laterCluster,
	},
	{
		Name: "cluster_server_max_outbound_connections", Type: TypeInt, Unit: "connections", Minus: unlimited, Scopes: inG | inBG | inB,
		Doc: "As server_max_outbound_connections, over all nodes of the cluster.", Later: laterCluster,
	},
	{
		Name: "cluster_scope_max_outbound_connections", Type: TypeInt, Unit: "connections", Minus: unlimited, Scopes: inTree, ByReference: true,
		Doc: "As scope_max_outbound_connections, over all nodes of the cluster.", Later: laterCluster,
	},
	{
		Name: "outbound_throttle_connections", Type: TypeRate, Unit: "connections", Scopes: inTree, ByReference: true,
		Doc: "How often connections are opened, counted together for all that falls back to the stanza that sets it.",
	},
	{
		Name: "outbound_throttle_messages", Type: TypeRate, Unit: "messages", Scopes: inTree, ByReference: true,
		Doc: "How often messages are sent, counted together for all that falls back to the stanza that sets it.",
	},
	{
		Name: "max_connect_rate", Aliases: []string{"max-conn-rate"}, Type: TypeRate, Unit: "connections", Scopes: inDelivery,
		Doc: "How often connections are opened from one binding to one routing domain.",
	},
	{
		Name: "max_message_rate", Aliases: []string{"max-msg-rate"}, Type: TypeRate, Unit: "recipients", Scopes: inDelivery,
		Doc: "How many recipients are attempted from one binding to one routing domain in a time.",
	},
	{
		Name: "cluster_outbound_throttle_connections", Type: TypeRate, Unit: "connections", Scopes: inTree, ByReference: true,
		Doc: "As outbound_throttle_connections, over all nodes of the cluster.", Later: laterCluster,
	},
	{
		Name: "cluster_outbound_throttle_messages", Type: TypeRate, Unit: "messages", Scopes: inTree, ByReference: true,
		Doc: "As outbound_throttle_messages, over all nodes of the cluster.", Later: laterCluster,
	},
	{
		Name: "max_deliveries_per_connection", Aliases: []string{"max-msg-per-conn", "max-msg-per-connection"}, Type: TypeInt, Unit: "messages",
		Default: "0", Scopes: inDelivery, Doc: "Successful deliveries before a connection is ended with QUIT; 0: no limit.",
	},
	{
		Name: "max_recipients_per_connection", Type: TypeInt, Unit: "recipients",
		Default: "0", Scopes: inDelivery, Doc: "Recipients attempted on a connection before it is ended with QUIT; 0: no limit.",
	},
	{
		Name: "max_recipients_per_batch", Aliases: []string{"max-rcpt-per-message"}, Type: TypeInt, Unit: "recipients", Min: 1, Max: 65535,
		Default: "100", Scopes: inDelivery, Doc: "RCPT commands in one transaction.",
	},
	{
		Name: "idle_timeout", Type: TypeDuration, Max: hour, Default: "5s", Scopes: inDelivery,
		Doc: "How long an idle connection waits for more mail; where others wait for its slot it serves one of them or is closed at once.",
	},
	{
		Name: "connection_allocation_aggressiveness", Type: TypeEnum, Enum: []string{"normal", "high"}, Default: "normal", Scopes: inDelivery,
		Doc: "How fast connections are added as a queue grows.",
	},
}
