package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"neutrino"
)

// Kind is how an instance is made.
type Kind string

// The kinds of instances: a real virtual machine, and a network namespace
// with a real DHCP client.
const (
	KindVM        Kind = "vm"
	KindNamespace Kind = "namespace"
)

// Instance is an instance as lab.json keeps it.
type Instance struct {
	Name      string `json:"name"`
	Kind      Kind   `json:"kind"`
	Host      string `json:"host"`
	UUID      string `json:"uuid"` // the port's device_id
	PortID    string `json:"port_id"`
	NetworkID string `json:"network_id"`
	Project   string `json:"project"`
	MAC       string `json:"mac"`
	MTU       int    `json:"mtu"`
	Address   string `json:"address"` // the port's first address
}

// Tap is the name of the instance's device on its host: "tap" and the first
// eleven characters of the port's id.
func (i Instance) Tap() string { return "tap" + i.PortID[:11] }

// InstanceSpec is what a new instance is asked to be. Empty fields stand for
// what is named beside them.
type InstanceSpec struct {
	Name    string
	Kind    Kind   // KindVM
	Host    string // compute1
	Network string // name or id; SeedNetwork
	Project string // the server's default
	MAC     string // chosen by the API
	IP      string // chosen by the API
	Port    Object // further attributes of the port
}

// Guest is a running instance, to run commands in.
type Guest struct {
	Instance
	lab      *Lab
	host     *Host
	incoming bool // it waits for the memory of itself on another host
}

var instanceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,15}$`)

func (s InstanceSpec) withDefaults() (InstanceSpec, error) {
	if !instanceName.MatchString(s.Name) {
		return s, fmt.Errorf("lab: instance name %q: want a letter, then at most 15 letters, digits and dashes", s.Name)
	}
	if s.Kind == "" {
		s.Kind = KindVM
	}
	if s.Kind != KindVM && s.Kind != KindNamespace {
		return s, fmt.Errorf("lab: kind %q: want %s or %s", s.Kind, KindVM, KindNamespace)
	}
	if s.Host == "" {
		s.Host = "compute1"
	}
	if s.Network == "" {
		s.Network = SeedNetwork
	}
	return s, nil
}

// Guests are the instances of the lab.
func (l *Lab) Guests() []*Guest {
	var out []*Guest
	for _, i := range l.snapshot().Instances {
		if h, err := l.Host(i.Host); err == nil {
			out = append(out, &Guest{Instance: i, lab: l, host: h})
		}
	}
	return out
}

// ErrNoInstance says that the lab has no such instance.
var ErrNoInstance = errors.New("no such instance")

// Guest finds an instance by its name.
func (l *Lab) Guest(name string) (*Guest, error) {
	for _, g := range l.Guests() {
		if g.Name == name {
			return g, nil
		}
	}
	return nil, fmt.Errorf("lab %s: %q: %w", l.Name, name, ErrNoInstance)
}

// AddInstance creates the instance's port, plugs its interface and starts it.
// A virtual machine still boots when this returns; see [Guest.AwaitLease].
// An instance that runs already under that name is returned as it is.
func (l *Lab) AddInstance(ctx context.Context, s InstanceSpec) (*Guest, error) {
	unlock, err := l.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return l.addInstance(ctx, s)
}

// addInstance is AddInstance with the lab's lock held.
func (l *Lab) addInstance(ctx context.Context, s InstanceSpec) (*Guest, error) {
	s, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	h, err := l.Host(s.Host)
	if err != nil {
		return nil, err
	}
	if !h.hasOVS() {
		return nil, fmt.Errorf("lab: %s has no Open vSwitch to plug an instance into", h.Name)
	}
	if g, err := l.Guest(s.Name); err == nil {
		if g.Host == s.Host && g.Kind == s.Kind && g.Running(ctx) {
			return g, nil
		}
		return nil, fmt.Errorf("lab: instance %s exists (%s on %s): remove it first", g.Name, g.Kind, g.Host)
	}
	i, err := l.createPort(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("lab: instance %s: %w", s.Name, err)
	}
	if err := l.record(ctx, func(st *state) { st.Instances = append(st.Instances, i) }); err != nil {
		return nil, err
	}
	g := &Guest{Instance: i, lab: l, host: h}
	if err := g.plug(ctx); err != nil {
		return nil, h.fail(ctx, processAgent, fmt.Errorf("lab: plug %s: %w", s.Name, err))
	}
	if g.Kind == KindNamespace {
		return g, nil
	}
	return g, h.fail(ctx, g.process(), g.boot(ctx))
}

// createPort asks the API for the instance's port, as Nova would.
func (l *Lab) createPort(ctx context.Context, s InstanceSpec) (Instance, error) {
	c := l.Client()
	c.Project = s.Project
	network, err := l.network(ctx, s.Network)
	if err != nil {
		return Instance{}, err
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return Instance{}, fmt.Errorf("draw an id: %w", err)
	}
	body := Object{
		"name": s.Name, "network_id": network.ID(), "binding:host_id": s.Host,
		"device_owner": neutrino.OwnerComputePrefix + neutrino.DefaultZone, "device_id": string(neutrino.NewID(random)),
	}
	if s.MAC != "" {
		body["mac_address"] = strings.ToLower(s.MAC)
	}
	if s.IP != "" {
		body["fixed_ips"] = []Object{{"ip_address": s.IP}}
	}
	for key, value := range s.Port {
		body[key] = value
	}
	port, err := c.Ensure(ctx, "ports", Query{"name": s.Name, "network_id": network.ID()}, body)
	if err != nil {
		return Instance{}, err
	}
	if len(port.ID()) < 11 {
		return Instance{}, fmt.Errorf("the API's answer has no port id: %v", port)
	}
	i := Instance{
		Name: s.Name, Kind: s.Kind, Host: s.Host, UUID: port.Text("device_id"), PortID: port.ID(), Project: s.Project,
		NetworkID: network.ID(), MAC: port.Text("mac_address"), MTU: network.Int("mtu"),
	}
	if a := port.Addresses(); len(a) > 0 {
		i.Address = a[0]
	}
	return i, nil
}

// plug wires the interface as os-vif does for Nova.
func (g *Guest) plug(ctx context.Context) error {
	argv := []string{g.lab.Binary, "vif", "plug", "--port", g.PortID, "--mac", g.MAC,
		"--mtu", strconv.Itoa(g.MTU), "--instance", g.UUID, "--kind", string(g.Kind)}
	if g.Kind == KindNamespace {
		if _, err := g.host.Run(ctx, "ip", "netns", "add", g.Name); err != nil {
			return err
		}
		argv = append(argv, "--netns", g.Name)
	}
	_, err := g.host.Run(ctx, argv...)
	return err
}

// RemoveInstance stops an instance, unplugs it and deletes its port.
func (l *Lab) RemoveInstance(ctx context.Context, name string) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return l.removeInstance(ctx, name)
}

// removeInstance is RemoveInstance with the lab's lock held.
func (l *Lab) removeInstance(ctx context.Context, name string) error {
	g, err := l.Guest(name)
	if err != nil {
		return err
	}
	if g.Kind == KindVM {
		if err := g.powerOff(ctx); err != nil {
			return err
		}
	}
	_, err = g.host.Run(ctx, l.Binary, "vif", "unplug", "--port", g.PortID)
	if err != nil {
		return fmt.Errorf("lab: unplug %s: %w", name, err)
	}
	if g.Kind == KindNamespace {
		if _, err := g.host.Run(ctx, "ip", "netns", "delete", g.Name); err != nil {
			return err
		}
	}
	if err := l.Client().Delete(ctx, "ports", g.PortID); err != nil {
		return fmt.Errorf("lab: instance %s: %w", name, err)
	}
	return l.record(ctx, func(st *state) {
		st.Instances = slices.DeleteFunc(st.Instances, func(i Instance) bool { return i.Name == name })
	})
}

// Running reports whether a virtual machine's process lives; a namespace
// always does.
func (g *Guest) Running(ctx context.Context) bool {
	if g.Kind == KindNamespace {
		return true
	}
	p, err := g.host.Process(g.process())
	return err == nil && p.Alive(ctx)
}

// Command makes a command inside a light instance.
func (g *Guest) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return g.host.Command(ctx, append([]string{"ip", "netns", "exec", g.Name}, argv...)...)
}

// Exec runs a shell text inside the instance: over the serial port of a
// virtual machine, in the namespace of a light instance. Both have busybox's
// commands. A code other than 0 is no error.
func (g *Guest) Exec(ctx context.Context, script string) (Output, error) {
	if g.Kind == KindVM {
		s, err := dialSerial(ctx, g.socket(socketAgent))
		if err != nil {
			return Output{}, fmt.Errorf("lab: %s: %w", g.Name, err)
		}
		defer s.close()
		return s.run(ctx, script)
	}
	cmd := g.Command(ctx, "busybox", "sh", "-c", script)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out := Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = ctx.Err()
	}
	return out, err
}

// Ping sends one echo request and waits at most a second for the reply.
func (g *Guest) Ping(ctx context.Context, address string) error {
	return g.succeed(ctx, "ping -c 1 -W 1 "+address)
}

// Connect opens a TCP connection and closes it, waiting at most two seconds.
func (g *Guest) Connect(ctx context.Context, address string, port int) error {
	return g.succeed(ctx, fmt.Sprintf("nc -w 2 %s %d </dev/null", address, port))
}

func (g *Guest) succeed(ctx context.Context, script string) error {
	out, err := g.Exec(ctx, script)
	if err != nil {
		return err
	}
	if out.Code != 0 {
		return fmt.Errorf("lab: %s: %s: exit %d: %s", g.Name, script, out.Code,
			strings.TrimSpace(out.Stdout+out.Stderr))
	}
	return nil
}

// AwaitActive waits until the API says that the instance's port is ACTIVE.
func (g *Guest) AwaitActive(ctx context.Context) error {
	return poll(ctx, 20*time.Millisecond, func() error { return g.active(ctx) })
}

func (g *Guest) active(ctx context.Context) error {
	port, err := g.lab.Client().Get(ctx, "ports", g.PortID)
	if err != nil {
		return err
	}
	if s := port.Text("status"); s != string(neutrino.PortActive) {
		return fmt.Errorf("lab: port %s of %s is %s", g.PortID, g.Name, s)
	}
	return nil
}

// Lease is what DHCP gave to an instance.
type Lease struct {
	Address string `json:"address"`
	Bits    int    `json:"bits"` // prefix length
	Router  string `json:"router"`
	Server  string `json:"server"`
	Seconds int    `json:"seconds"`
	MTU     int    `json:"mtu"`    // option 26; 0 if not given
	Routes  string `json:"routes"` // option 121: destination and gateway in turn
	DNS     string `json:"dns"`
	Domain  string `json:"domain"`
}

// AwaitLease waits until the instance has its address by DHCP, as the
// instance itself sees it. A light instance asks when this is called.
func (g *Guest) AwaitLease(ctx context.Context) (Lease, error) {
	if g.Kind == KindNamespace {
		return g.requestLease(ctx)
	}
	var lease Lease
	err := poll(ctx, 100*time.Millisecond, func() error {
		out, err := g.Exec(ctx, "cat /run/lease")
		if err != nil {
			return err
		}
		if out.Code != 0 {
			return fmt.Errorf("lab: %s has no lease yet", g.Name)
		}
		lease, err = parseLease(out.Stdout)
		return err
	})
	return lease, err
}

// requestLease runs a DHCP client once in a light instance's namespace.
func (g *Guest) requestLease(ctx context.Context) (Lease, error) {
	script, err := g.lab.leaseScript(ctx)
	if err != nil {
		return Lease{}, err
	}
	nic, err := g.nic(ctx)
	if err != nil {
		return Lease{}, err
	}
	file := filepath.Join(g.host.Dir(), "lease-"+g.Name)
	out, err := g.Exec(ctx, fmt.Sprintf("rm -f %[1]s; LEASE=%[1]s busybox udhcpc -f -q -n -i %[2]s -t 20 -T 1 "+
		"-O mtu -O staticroutes -x hostname:%[3]s -s %[4]s >&2 && cat %[1]s", file, nic, g.Name, script))
	if err != nil {
		return Lease{}, err
	}
	if out.Code != 0 {
		return Lease{}, fmt.Errorf("lab: %s got no lease: %s", g.Name, strings.TrimSpace(out.Stderr))
	}
	return parseLease(out.Stdout)
}

// nic is the name of the one interface in a light instance's namespace.
func (g *Guest) nic(ctx context.Context) (string, error) {
	out, err := g.Command(ctx, "ls", "/sys/class/net").Output()
	if err != nil {
		return "", fmt.Errorf("lab: %s: list interfaces: %w", g.Name, err)
	}
	for _, name := range strings.Fields(string(out)) {
		if name != "lo" {
			return name, nil
		}
	}
	return "", fmt.Errorf("lab: %s: no interface in its namespace", g.Name)
}

func (l *Lab) leaseScript(ctx context.Context) (string, error) {
	b, err := guestFiles.ReadFile("guest/udhcpc")
	if err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	return l.writeScript(ctx, "udhcpc", b)
}

func parseLease(text string) (Lease, error) {
	lease := leaseFields(text)
	if lease.Address == "" {
		return lease, fmt.Errorf("lab: no address in the lease %q", text)
	}
	return lease, nil
}

func leaseFields(text string) (lease Lease) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ip":
			lease.Address = value
		case "mask":
			lease.Bits, _ = strconv.Atoi(value)
		case "router":
			lease.Router = value
		case "server":
			lease.Server = value
		case "seconds":
			lease.Seconds, _ = strconv.Atoi(value)
		case "mtu":
			lease.MTU, _ = strconv.Atoi(value)
		case "routes":
			lease.Routes = value
		case "dns":
			lease.DNS = value
		case "domain":
			lease.Domain = value
		}
	}
	return lease
}
