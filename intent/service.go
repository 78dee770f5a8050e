// Package intent is the station that says what a request means: it validates,
// sets defaults, allocates and cascades, inside one transaction of the store.
// It does no I/O: clock and randomness come in with the transaction.
package intent

import (
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"net/netip"
	"time"

	"neutrino"
	"neutrino/store"
)

// Caller is who asks, as the API found it out.
type Caller struct {
	ProjectID string
	UserID    string
	Admin     bool
	Roles     []string
	RequestID string
}

// Range is an inclusive range of segmentation ids.
type Range struct{ Min, Max int64 }

// Config is what an operator sets for the whole cloud. The names in brackets
// are Neutron's options.
type Config struct {
	TenantNetworkTypes []neutrino.NetworkType           // [ml2] tenant_network_types, tried in order
	TunnelRanges       map[neutrino.NetworkType][]Range // [ml2_type_…] tunnel_id_ranges, vni_ranges
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
	MaxAllowedAddressPair int           // [DEFAULT] max_allowed_address_pair
	DNSDomain             string        // [DEFAULT] dns_domain
	AgentDownTime         time.Duration // [DEFAULT] agent_down_time
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
		DNSDomain: "openstacklocal", AgentDownTime: neutrino.AgentDownTime,
	}
}

// Source is where a transaction gets its clock and its randomness from. Both
// are called once for each run of a transaction, also concurrently.
type Source struct {
	Now  func() time.Time
	Rand func() *rand.Rand
}

// SystemSource is the machine's clock and a generator with a seed of the
// kernel's.
func SystemSource() Source {
	return Source{Now: time.Now, Rand: func() *rand.Rand {
		var seed [32]byte
		crand.Read(seed[:]) // never fails: crypto/rand ends the program instead
		return rand.New(rand.NewChaCha8(seed))
	}}
}

// Service carries out requests on a store.
type Service struct {
	db     *store.DB
	config Config
	source Source
	since  time.Time // when it began to hear agents
}

// New makes a service on the store with [SystemSource].
func New(db *store.DB, c Config) *Service { return NewWith(db, c, SystemSource()) }

// NewWith makes a service with a clock and randomness of the caller's, for
// tests that want the same result each time.
func NewWith(db *store.DB, c Config, src Source) *Service {
	return &Service{db: db, config: c, source: src, since: src.Now()}
}

// DB is the store that the service works on.
func (s *Service) DB() *store.DB { return s.db }

// Config is a copy of the service's configuration.
func (s *Service) Config() Config { return s.config }

// Do runs f as one transaction of the caller's. f may run several times, each
// time from the start, when other transactions came in between: it must have no
// effect outside the transaction. The error is f's, or the store's.
func (s *Service) Do(ctx context.Context, caller Caller, f func(*Tx) error) error {
	_, err := s.db.Update(ctx, func(t *store.Tx) error {
		tx := &Tx{
			Tx: t, Caller: caller, Config: &s.config, Rand: s.source.Rand(),
			Now:     s.source.Now().UTC().Truncate(time.Second),
			since:   s.since,
			touched: map[neutrino.ID]bool{}, left: map[hostNetwork]bool{},
		}
		if err := f(tx); err != nil {
			return err
		}
		leave(tx)
		return nil
	})
	return err
}

// Tx is one run of a transaction.
type Tx struct {
	*store.Tx
	Caller Caller
	Now    time.Time // UTC, whole seconds, as the API shows times
	Config *Config
	Rand   *rand.Rand

	since   time.Time // when the service began to hear agents
	touched map[neutrino.ID]bool
	left    map[hostNetwork]bool // where a port went from a host
}

// newID makes a random object ID.
func (tx *Tx) newID() neutrino.ID {
	var b [16]byte
	for i := range b {
		b[i] = byte(tx.Rand.Uint32())
	}
	return neutrino.NewID(b)
}

// born fills the standard attributes of a new object.
func (tx *Tx) born(id neutrino.ID, s *neutrino.Standard) {
	s.CreatedAt, s.RevisionNumber = tx.Now, 0
	tx.touch(id, s)
}

// touch bumps an object's revision, once in a transaction however often it
// changes in it (api.md section 6, W13).
func (tx *Tx) touch(id neutrino.ID, s *neutrino.Standard) {
	if !tx.touched[id] {
		tx.touched[id] = true
		s.Touch(tx.Now)
	}
}

// choice says how this transaction picks among the values for which held is
// not true.
func (tx *Tx) choice(held func(netip.Addr) bool) neutrino.Choice {
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
