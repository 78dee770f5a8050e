// Package lab is the station that puts whole hosts, real virtual machines and
// real traffic on one machine, for people and for tests: each host is a set of
// namespaces with its own Open vSwitch in which the real binary runs.
//
// Nothing of a lab is in the machine's root namespaces but one listening
// socket for the API. Everything that is made is recorded in lab.json before
// it is used, and every process of a lab sees a mark in its own /run, so that
// [Lab.Down] finds all of it, also after a kill -9.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"neutrino"
)

// Where a lab is kept unless told otherwise.
const (
	DefaultName  = "lab"
	DefaultDir   = "/var/lib/neutrino-lab"
	DefaultCache = "/var/cache/neutrino-lab"
)

// DefaultAPIPort is Neutron's port.
const DefaultAPIPort = 9696

// MaxComputes is how many compute hosts the underlay has addresses for.
const MaxComputes = 200

// MaxNetworks is how many network hosts it has addresses for.
const MaxNetworks = 9

// Settings is what a lab is asked to be. The zero value of a field stands for
// the default named beside it.
type Settings struct {
	Name     string               `json:"name"`     // DefaultName
	Dir      string               `json:"dir"`      // DefaultDir, with "-<name>" for another name
	Cache    string               `json:"cache"`    // DefaultCache: kernel and initramfs, kept by Down
	Binary   string               `json:"binary"`   // the one the lab runs, else the running executable
	Computes int                  `json:"computes"` // 1
	Networks int                  `json:"networks"` // 1: network hosts
	Type     neutrino.NetworkType `json:"type"`     // gre
	APIPort  int                  `json:"api_port"` // 0: any free port
	Uplink   Uplink               `json:"uplink"`   // nic: how the network host reaches the outside
	Provider bool                 `json:"provider"` // compute hosts too have a NIC and a bridge on the public network
	Bare     bool                 `json:"bare"`     // no router, no outside: instances and DHCP alone
	// Feed is the socket of a server that runs elsewhere, for [Lab.UpHosts].
	Feed string `json:"feed,omitempty"`
	// AgentOptions are further lines of [DEFAULT] for the agents.
	AgentOptions string `json:"agent_options,omitempty"`
}

func (s Settings) withDefaults() Settings {
	if s.Name == "" {
		s.Name = DefaultName
	}
	if s.Dir == "" {
		s.Dir = DefaultDir
		if s.Name != DefaultName {
			s.Dir += "-" + s.Name
		}
	}
	if s.Cache == "" {
		s.Cache = DefaultCache
	}
	if s.Computes == 0 {
		s.Computes = 1
	}
	if s.Networks == 0 {
		s.Networks = 1
	}
	if s.Type == "" {
		s.Type = neutrino.GRE
	}
	if s.Uplink == "" {
		s.Uplink = UplinkNIC
	}
	return s
}

func (s Settings) check() error {
	switch {
	case s.Computes < 1 || s.Computes > MaxComputes:
		return fmt.Errorf("lab: %d compute hosts: choose 1 to %d", s.Computes, MaxComputes)
	case s.Networks < 1 || s.Networks > MaxNetworks:
		return fmt.Errorf("lab: %d network hosts: choose 1 to %d", s.Networks, MaxNetworks)
	case s.Uplink != UplinkNIC && s.Uplink != UplinkNAT:
		return fmt.Errorf("lab: uplink %q: choose %s or %s", s.Uplink, UplinkNIC, UplinkNAT)
	case s.Uplink == UplinkNAT && (s.Networks > 1 || s.Provider):
		return fmt.Errorf("lab: uplink %s makes one network host the gateway: it goes with one network host, and without provider networks", UplinkNAT)
	case !s.Type.IsTunnel():
		return fmt.Errorf("lab: network type %q: choose one of %v", s.Type, neutrino.TunnelTypes)
	case s.APIPort < 0 || s.APIPort > 65535:
		return fmt.Errorf("lab: API port %d: choose 0 to 65535", s.APIPort)
	case withinDir(s.Dir, "/run") || withinDir(s.Dir, "/var/run"):
		return fmt.Errorf("lab: directory %s: each host has its own /run, choose another place", s.Dir)
	case len(s.Dir) > maxDirLength:
		return fmt.Errorf("lab: directory %s: longer than %d bytes, unix sockets in it would not fit", s.Dir, maxDirLength)
	}
	return nil
}

// maxDirLength leaves room for "/vm/<instance>/console.sock" in the 107 bytes
// of a unix socket's address (unix(7)).
const maxDirLength = 72

func withinDir(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// Lab is one lab, running or not.
type Lab struct {
	Settings
	// Progress is where Up and Down say what they do; nil for nowhere.
	Progress io.Writer

	began time.Time
	mu    sync.Mutex
	state state
	http  *http.Client
}

// New is a handle on the lab with these settings. It makes nothing; if a lab
// of that directory is recorded, its record is read.
func New(ctx context.Context, s Settings) (*Lab, error) {
	s = s.withDefaults()
	for _, path := range []*string{&s.Dir, &s.Cache, &s.Binary} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		*path = abs
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	l := &Lab{Settings: s, began: time.Now()}
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	if l.Binary == "" {
		l.Binary = l.state.Settings.Binary
	}
	if l.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("lab: find own binary: %w", err)
		}
		l.Binary = self
	}
	return l, nil
}

// Running reports whether the record says that the lab was brought up
// completely and all its processes still live.
func (l *Lab) Running(ctx context.Context) bool {
	st := l.snapshot()
	if !st.Complete {
		return false
	}
	return !slices.ContainsFunc(st.Processes, func(p Process) bool { return !p.Alive(ctx) })
}

// Hosts are the hosts of the lab in the order of their making: controller,
// network1, compute1 and so on, and the outside last.
func (l *Lab) Hosts() []*Host {
	var hosts []*Host
	for _, r := range l.snapshot().Hosts {
		if r.Role != roleUnderlay {
			hosts = append(hosts, &Host{HostRecord: r, lab: l})
		}
	}
	return hosts
}

// ErrNoHost says that the lab has no such host.
var ErrNoHost = errors.New("no such host")

// Host finds a host by its name.
func (l *Lab) Host(name string) (*Host, error) {
	for _, r := range l.snapshot().Hosts {
		if r.Name == name {
			return &Host{HostRecord: r, lab: l}, nil
		}
	}
	return nil, fmt.Errorf("lab %s: host %q: %w", l.Name, name, ErrNoHost)
}

// Endpoint is the URL of the API as the machine's root namespace reaches it.
func (l *Lab) Endpoint() string {
	return "http://127.0.0.1:" + strconv.Itoa(l.snapshot().APIPort)
}

// Client talks to the lab's API. Clients of one lab share their connections.
func (l *Lab) Client() *Client {
	endpoint := l.Endpoint()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.http == nil {
		l.http = NewClient(endpoint).http
	}
	return &Client{Endpoint: endpoint, http: l.http}
}

func (l *Lab) say(format string, args ...any) {
	if l.Progress == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.Progress, "[%5.1fs] %s\n", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

func (l *Lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.Dir}, elem...)...)
}

// The roles of hosts.
const (
	RoleController = "controller"
	RoleNetwork    = "network"
	RoleCompute    = "compute"
	RoleOutside    = "outside" // no host of the cloud: what the public network leads to
	roleUnderlay   = "underlay"
)

// plannedHosts are the hosts that the settings ask for. The addresses are of
// TEST-NET-1 (RFC 5737), inside namespaces only.
func (s Settings) plannedHosts() []HostRecord {
	var hosts []HostRecord
	if s.Feed == "" {
		hosts = append(hosts, HostRecord{
			Name: "controller", Role: RoleController, Address: netip.AddrFrom4([4]byte{192, 0, 2, 10}),
		})
	}
	for n := 1; n <= s.Networks; n++ {
		hosts = append(hosts, HostRecord{
			Name: "network" + strconv.Itoa(n), Role: RoleNetwork,
			Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + n)}),
		})
	}
	for n := 1; n <= s.Computes; n++ {
		hosts = append(hosts, HostRecord{
			Name: "compute" + strconv.Itoa(n), Role: RoleCompute,
			Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(20 + n)}),
		})
	}
	if !s.Bare {
		hosts = append(hosts, HostRecord{
			Name: outsideHost, Role: RoleOutside, Address: netip.AddrFrom4([4]byte{172, 24, 4, 225}),
		})
	}
	return hosts
}

// underlayBits is the prefix length of the underlay's addresses.
const underlayBits = 24

// underlayAddress is the host's address with its prefix length.
func (r HostRecord) underlayAddress() netip.Prefix { return netip.PrefixFrom(r.Address, underlayBits) }
