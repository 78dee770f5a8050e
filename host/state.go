// Package host is a host's network state as plain comparable data: what a
// plan wants and what a hand reads back have this one form. The packages
// below it are the hands, one for each kernel surface, each with Read and
// Apply. Nothing here knows a Neutron noun.
package host

// Why says which feature wants an item and for which object ("port/<id>",
// "network/<id>", "host"). Traces, drift reports and pending reasons come
// from it. It is not compared: two items that differ only in Why are equal.
type Why struct{ Feature, Object string }

// State is everything a host's plan holds. Its maps are keyed by what makes an
// item unique in the kernel, so two features that claim one key are a conflict.
type State struct {
	Namespaces map[string]Namespace
	Bridges    map[string]Bridge
	OVSPorts   map[string]OVSPort
	VIFs       map[string]VIF
	Links      map[LinkKey]Link
	Addresses  map[AddressKey]Address
	Routes     map[RouteKey]Route
	Sysctls    map[SysctlKey]Sysctl
	Sets       map[SetKey]Set
	Chains     map[ChainKey]Chain
	Hooks      map[HookKey]Hook
	Zones      map[uint16]Zone
	Flows      map[FlowKey]Flow
	Files      map[string]File
	Processes  map[string]Process
	// Leases are the DHCP leases that may exist; others are released.
	Leases map[LeaseKey]Lease
	// Translations are what the NAT of a namespace may have tracked; its key is
	// the namespace.
	Translations map[string]Translation
	// Listeners are the sockets of the metadata service.
	Listeners map[ListenerKey]Listener
	// Adverts are the router advertisements that the host sends.
	Adverts map[AdvertKey]Advert
	// Probes are what the host asks other stations.
	Probes map[ProbeKey]Probe
	// Refused are objects that the plan leaves out, with the reason.
	Refused []Refusal
}

// Refusal is an object that cannot be planned: it is reported as pending.
type Refusal struct{ Object, Reason string }

// NewState is a state with every map made.
func NewState() *State {
	return &State{
		Namespaces: map[string]Namespace{}, Bridges: map[string]Bridge{}, OVSPorts: map[string]OVSPort{},
		VIFs: map[string]VIF{}, Links: map[LinkKey]Link{}, Addresses: map[AddressKey]Address{},
		Routes: map[RouteKey]Route{}, Sysctls: map[SysctlKey]Sysctl{}, Sets: map[SetKey]Set{},
		Chains: map[ChainKey]Chain{}, Hooks: map[HookKey]Hook{}, Zones: map[uint16]Zone{},
		Flows: map[FlowKey]Flow{}, Files: map[string]File{}, Processes: map[string]Process{},
		Leases: map[LeaseKey]Lease{}, Translations: map[string]Translation{},
		Listeners: map[ListenerKey]Listener{}, Adverts: map[AdvertKey]Advert{},
		Probes: map[ProbeKey]Probe{},
	}
}

// Namespace is a named network namespace, a file in /run/netns (ip-netns(8)).
// Its key is its name. lo is up in it. Ours: by the name's prefix.
type Namespace struct {
	Error string // see [Bridge]
	Why   Why
}

// Bridge is an Open vSwitch bridge. Its key is its name. Ours: by
// external_ids:neutrino on the Bridge row.
type Bridge struct {
	DatapathType string // "system" or "netdev"
	FailMode     string // "secure"
	Protocols    string // sorted, comma separated: "OpenFlow10,OpenFlow13"
	OtherConfig  string // sorted "key=value" joined by ","; only keys named here are ours
	// Error is what a hand that reads found broken about the item although it is
	// there. No plan sets it, so a broken item is put again and its failure said.
	Error string
	Why   Why
}

// OVSPort is a port with its one interface of the same name that we create: a
// patch port, a tunnel, or one end of a veth pair of ours. Its key is its
// name. Ours: by external_ids:neutrino on the Port row.
type OVSPort struct {
	Bridge      string
	Type        string // Interface.type: "", "patch", "gre", "vxlan", "geneve"
	Options     string // Interface.options, sorted "key=value" joined by ","
	Tag         uint16 // Port.tag; 0 for none
	OtherConfig string // Port.other_config, sorted "key=value" joined by ","
	ExternalIDs string // Interface.external_ids, sorted "key=value" joined by ","
	Error       string // see [Bridge]
	Why         Why
}

// VIF is the wiring of a port that somebody else plugged into our integration
// bridge: an Interface whose external_ids hold iface-id and attached-mac. Its
// key is the iface-id. A VIF in no plan is put on the dead VLAN, its row is
// never removed. An unplugged VIF of a plan is pending.
type VIF struct {
	MAC         string // expected attached-mac; another one is an error of that port
	Tag         uint16 // 4095 where Dead
	Dead        bool   // on the dead VLAN: vlan_mode=trunk, trunks=[4095]
	OtherConfig string // Port.other_config keys of ours, sorted "key=value" joined by ","
	Error       string // see [Bridge]
	Why         Why
}

// LinkKey names a network device; NetNS is "" for the agent's own namespace.
type LinkKey struct{ NetNS, Name string }

// Link is a network device that we create. Ours: by its alias.
type Link struct {
	Kind    string // "veth", the only kind now
	PeerNS  string // veth: namespace of the other end
	Peer    string // veth: name of the other end
	PeerMAC string // veth: MAC of the other end, "" for any
	MTU     int    // of both ends
	// NoTxChecksum turns transmit checksum offload off on the peer end: the
	// userspace datapath reads frames whose checksum nobody has filled in.
	NoTxChecksum bool
	Error        string // see [Bridge]
	Why          Why
}

// AddressKey is an address on a device; Prefix as "10.1.0.3/24".
type AddressKey struct{ NetNS, Device, Prefix string }

// Address is one address of a device of ours, global scope, with the broadcast
// address for IPv4. IPv6 addresses are added without duplicate address detection.
type Address struct {
	// Announce has the address announced by gratuitous ARP or an unsolicited
	// neighbour advertisement when it is added. It is not compared.
	Announce bool
	Why      Why
}

// RouteKey is a destination in a namespace; Dst "default" or a prefix.
type RouteKey struct {
	NetNS, Dst string
	IPv6       bool
}

// Route is a route of ours, protocol static. Ours: by the protocol in
// namespaces of ours.
type Route struct {
	// Via is the gateway, "" for on-link; several of a route over several paths
	// are in the order of their addresses, joined by ",".
	Via    string
	Device string // of each gateway, joined by ",", where they differ
	Why    Why
}

// SysctlKey names a kernel setting with dots, "net.ipv4.ip_forward".
type SysctlKey struct{ NetNS, Name string }

// Sysctl is a wanted value. What is absent from a plan is left as it is.
type Sysctl struct {
	Value string
	Why   Why
}

// SetKey names an ipset.
type SetKey struct{ NetNS, Name string }

// Set is an ipset of type hash:net. Ours: by the prefixes NIPv4 and NIPv6.
type Set struct {
	Family  string // "inet" or "inet6"
	Members string // sorted, joined by "\n", in the form that ipset save prints
	Why     Why
}

// ChainKey names an iptables chain of ours; Family is 4 or 6.
type ChainKey struct {
	NetNS  string
	Family int
	Table  string // "raw", "nat", "filter", "mangle"
	Chain  string
}

// Chain is the whole content of a chain of ours, in order. Ours: by the wrap
// prefix of the name, and the few unwrapped names that the hand is told.
type Chain struct {
	Rules string // iptables-save form without "-A chain ", joined by "\n"
	Why   Why
}

// HookKey is a rule of ours in a built-in chain.
type HookKey struct {
	NetNS  string
	Family int
	Table  string
	Chain  string // "FORWARD"
	Rule   string // "-j neutron-openvswi-FORWARD"
}

// Hook keeps its rule in a built-in chain above everybody else's rules; among
// ours lower Order comes first. Other rules of the chain are never touched.
type Hook struct {
	Order int
	Why   Why
}

// Zone is what a conntrack zone of a port may hold. The hand removes entries
// that no rule of Allow admits. Its key is the zone.
type Zone struct {
	// Allow has one line for each kind of connection that may exist:
	// "<ingress|egress> <4|6> <protocol number or any> <port min>-<port max or any> <remote prefix or any>".
	// ICMP lines carry type and code in place of the port range, as "8-0", "8-any" or "any".
	// A remote of "@NAME" stands for the members of the ipset NAME of the same plan.
	Allow string
	// Sets digests the members of the ipsets that Allow names, so that a member
	// that leaves is a change of the zone: "NAME=<digest>" joined by ",".
	Sets string
	// Addresses are the port's own addresses, sorted, joined by ",".
	Addresses string
	Why       Why
}

// FlowKey is what makes a flow unique in a bridge. Match is in the syntax of
// ovs-fields(7), keys in the order that the plan writes, ports by name.
type FlowKey struct {
	Bridge   string
	Table    uint8
	Priority uint16
	Match    string // "" for any
}

// Flow is an OpenFlow flow. Ours: every flow of our bridges; on an operator's
// bridge only those with our cookie mark.
type Flow struct {
	Actions string // ovs-actions(7), ports by name
	Why     Why
}

// File is a file that a process of ours reads. Its key is its absolute path.
// Ours: everything below the directories that the hand is told.
type File struct {
	Content string
	Mode    uint32
	// Seed files are created when absent and belong to their process after that.
	Seed bool
	Why  Why
}

// Process is a daemon that outlives us. Its key is the directory that holds
// its pid file; a process of ours is found by the pid file and by its arguments.
type Process struct {
	NetNS string
	Argv  string // arguments joined by "\x00"
	// Loaded stamps the content of the files that the daemon reads on a signal;
	// another stamp means one Reload.
	Loaded string
	Reload Reload
	Why    Why
}

// Reload is how a process is told that its files changed.
type Reload string

// The ways to reload.
const (
	ReloadHUP     Reload = "hup"     // send SIGHUP
	ReloadRestart Reload = "restart" // stop and start again
)

// LeaseKey is a DHCP lease: which server's, by the directory of its files,
// which address and whose.
type LeaseKey struct{ Dir, IP, MAC string }

// Lease is a lease that may exist. A plan names all that may; one that is
// absent on the host is not put. NetNS, Device and Server say how a lease of
// that directory is released (RFC 2131, 4.4.6).
type Lease struct {
	NetNS, Device, Server string
	Why                   Why
}

// Translation says which NAT a namespace's tracked connections may have. The
// hand removes entries that do not agree: what a floating IP was no longer is.
type Translation struct {
	// DNAT has a line "<address>[:<protocol number>:<ports>] <address>[:<ports>]"
	// for each destination that may be rewritten, sorted, joined by "\n". Ports are
	// "80" or "8000-8010"; a range leads port by port to a range of its size.
	DNAT string
	// SNAT has a line "<source address or prefix> <address>" for each source that
	// may be rewritten, the most specific first, joined by "\n".
	SNAT string
	Why  Why
}

// ListenerKey is a listening TCP socket in a namespace, Address as "0.0.0.0:9697".
type ListenerKey struct{ NetNS, Address string }

// Listener is a socket of the metadata service. Scope is the router or network
// whose instances come in there, "router/<id>" or "network/<id>": it, and never
// a header, says who asks.
type Listener struct {
	Scope string
	Why   Why
}

// AdvertKey is a device that router advertisements leave by.
type AdvertKey struct{ NetNS, Device string }

// Advert is what a router advertisement says (RFC 4861, 4.2).
type Advert struct {
	// Prefixes has a line "<prefix> <on-link 0 or 1> <autonomous 0 or 1>" each.
	Prefixes string
	Managed  bool   // the M flag: addresses by DHCPv6
	Other    bool   // the O flag: other configuration by DHCPv6
	MTU      int    // bytes
	DNS      string // addresses of recursive servers, joined by ","
	Error    string // see [Bridge]
	Why      Why
}
