// Package work is what all features of the intent station stand on: who asks,
// one run of a transaction, and what is found for a caller.
package work

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"neutrino"
	"neutrino/intent/liveness"
	"neutrino/store"
)

// Caller is who asks, as the API found it out.
type Caller struct {
	ProjectID string
	UserID    string
	// Admin may do and see everything (Neutron's rule context_is_admin).
	Admin bool
	// Service is another service of the cloud, Nova above all: it sees
	// everything.
	Service   bool
	Roles     []string
	RequestID string
}

// Range is an inclusive range of segmentation ids.
type Range struct{ Min, Max int64 }

// AnyPhysicalNetwork stands for every physical network in Config.FlatNetworks.
const AnyPhysicalNetwork = "*"

// Config is what an operator sets for the whole cloud. The names in brackets
// are Neutron's options.
type Config struct {
	NetworkTypes       []neutrino.NetworkType // [ml2] type_drivers, what networks can be of; none named: anything
	TenantNetworkTypes []neutrino.NetworkType // [ml2] tenant_network_types, tried in order
	// ExternalNetworkType is [ml2] external_network_type: of external networks that
	// name none; "" for the tenants' types.
	ExternalNetworkType neutrino.NetworkType
	TunnelRanges        map[neutrino.NetworkType][]Range // [ml2_type_…] tunnel_id_ranges, vni_ranges
	// NetworkVLANRanges is [ml2_type_vlan] network_vlan_ranges: the physical
	// networks that may have VLAN networks, and the VLANs that are given out
	// there. None named: any that a live agent has a bridge to, where an admin
	// names the VLAN.
	NetworkVLANRanges map[string][]Range
	// FlatNetworks is [ml2_type_flat] flat_networks; [AnyPhysicalNetwork] is any
	// that a live agent has a bridge to.
	FlatNetworks        []string
	PhysicalNetworkMTUs map[string]int // [ml2] physical_network_mtus, bytes
	GlobalPhysnetMTU    int            // [DEFAULT] global_physnet_mtu, bytes
	PathMTU             int            // [ml2] path_mtu, bytes; 0 for none
	OverlayIPVersion    int            // [ml2] overlay_ip_version, 4 or 6
	BaseMAC             neutrino.MAC   // [DEFAULT] base_mac
	// DHCPAgentsPerNetwork is [DEFAULT] dhcp_agents_per_network.
	DHCPAgentsPerNetwork int
	// MaxFixedIPs limits the addresses of one port; 0 is no limit.
	MaxFixedIPs           int
	MaxDNSNameservers     int           // [DEFAULT] max_dns_nameservers
	MaxHostRoutes         int           // [DEFAULT] max_subnet_host_routes
	MaxRoutes             int           // [DEFAULT] max_routes, extra routes of a router
	SNATByDefault         bool          // [DEFAULT] enable_snat_by_default, of gateways that do not say
	MaxAllowedAddressPair int           // [DEFAULT] max_allowed_address_pair
	DNSDomain             string        // [DEFAULT] dns_domain
	AgentDownTime         time.Duration // [DEFAULT] agent_down_time
	// Quotas is [quotas] quota_network and its like, by resource: how many a
	// project may have that has no quota of its own. One that is not named, or
	// is -1, is without limit.
	Quotas map[string]int
	// TellNova is what Nova is told; nothing where there is no Nova.
	TellNova TellNova
}

// TellNova is what of instances' ports Nova is told.
type TellNova struct {
	StatusChanges bool // [DEFAULT] notify_nova_on_port_status_changes
	DataChanges   bool // [DEFAULT] notify_nova_on_port_data_changes
}

// DefaultConfig is Neutron's defaults, but for GRE as the tenants' type.
func DefaultConfig() Config {
	return Config{
		TenantNetworkTypes: []neutrino.NetworkType{neutrino.GRE},
		TunnelRanges: map[neutrino.NetworkType][]Range{
			neutrino.GRE: {{1, 1000}}, neutrino.VXLAN: {{1, 1000}}, neutrino.Geneve: {{1, 1000}},
		},
		FlatNetworks:     []string{AnyPhysicalNetwork},
		GlobalPhysnetMTU: 1500, OverlayIPVersion: 4,
		BaseMAC:              neutrino.MAC{0xfa, 0x16, 0x3e},
		DHCPAgentsPerNetwork: 1,
		MaxFixedIPs:          64, MaxDNSNameservers: 5, MaxHostRoutes: 20, MaxRoutes: 30, MaxAllowedAddressPair: 10,
		SNATByDefault: true,
		DNSDomain:     "openstacklocal", AgentDownTime: neutrino.AgentDownTime,
	}
}

// Tx is one run of a transaction.
type Tx struct {
	*store.Tx
	Caller Caller
	Now    time.Time // UTC, whole seconds, as the API shows times
	Config *Config
	Rand   *rand.Rand

	// Judge knows which hosts are alive.
	Judge *liveness.Judge
	// Speaker is the host whose agent this transaction has word of, "" for none:
	// it is alive.
	Speaker string
	// Left is where a port went from a host in this run.
	Left map[HostNetwork]bool

	// Refuse, where a feature set it, words the refusal of a limit that does
	// not hold at the commit.
	Refuse func(*store.LimitError) error

	touched     map[neutrino.ID]bool
	ports       changes[neutrino.Port]
	floatingIPs changes[neutrino.FloatingIP]
}

// HostNetwork names a network's presence on a host.
type HostNetwork struct {
	Host    string
	Network neutrino.ID
}

// Begin makes a run on a transaction of the store. The caller of Begin fills in
// what its fields say.
func Begin(t *store.Tx, c Caller) *Tx {
	return &Tx{Tx: t, Caller: c, touched: map[neutrino.ID]bool{}, Left: map[HostNetwork]bool{}}
}

// Life is what is known of a host.
func (tx *Tx) Life(host string) liveness.State {
	if host == tx.Speaker {
		return liveness.Alive
	}
	return tx.Judge.State(host)
}

// NewID makes a random object ID.
func (tx *Tx) NewID() neutrino.ID {
	var b [16]byte
	for i := range b {
		b[i] = byte(tx.Rand.Uint32())
	}
	return neutrino.NewID(b)
}

// Born fills the standard attributes of a new object.
func (tx *Tx) Born(id neutrino.ID, s *neutrino.Standard) {
	s.CreatedAt, s.RevisionNumber = tx.Now, 0
	tx.Touch(id, s)
}

// Touch bumps an object's revision, once in a transaction however often it
// changes in it (api.md section 6, W13).
func (tx *Tx) Touch(id neutrino.ID, s *neutrino.Standard) {
	if !tx.touched[id] {
		tx.touched[id] = true
		s.Touch(tx.Now)
	}
}

// Choice says how this transaction picks among the values for which held is
// not true.
func (tx *Tx) Choice(held func(netip.Addr) bool) neutrino.Choice {
	return neutrino.Choice{Held: held, Below: tx.Rand.Uint64N}
}

// CheckRevision is the If-Match of a request: the error is Precondition when
// the object's revision is not the wanted one.
func CheckRevision(std neutrino.Standard, want int64) error {
	if std.RevisionNumber == want {
		return nil
	}
	return neutrino.Errorf(neutrino.Precondition, "RevisionNumberConstraintFailed",
		"Constrained to %d, but current revision is %d", want, std.RevisionNumber)
}
