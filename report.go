package neutrino

// Report is what a host says of itself: that it has acted on its view up to
// Revision, and what still differs from the plan.
type Report struct {
	Host     string    `json:"host"`
	Revision int64     `json:"revision"`
	Pending  []Pending `json:"pending,omitempty"`
}

// Pending is one object that the host has not realised, and why. Object is
// "port/<id>", "network/<id>" or "host".
type Pending struct {
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// HostObject names the host itself, where no smaller object is to blame.
const HostObject = "host"

// FirewallObject is what all filtering of a host rests on: where it fails, no
// port is filtered.
const FirewallObject = "firewall"

// PortObject names a port.
func PortObject(id ID) string { return "port/" + string(id) }

// NetworkObject names a network.
func NetworkObject(id ID) string { return "network/" + string(id) }
