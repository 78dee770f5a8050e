package neutrino

// Report is what a host says of itself: that it has acted on its view up to
// Revision, and what still differs from the plan.
type Report struct {
	Host     string `json:"host"`
	Revision int64  `json:"revision"`
	// Life is that of the store which the revision is of, "" where none is known.
	Life    ID        `json:"life,omitempty"`
	Pending []Pending `json:"pending,omitempty"`
}

// Pending is one object that is not as it should be, and why. Object is
// "port/<id>", "network/<id>", "router/<id>", "floatingip/<id>",
// "metering-label/<id>" or "host".
type Pending struct {
	Object string      `json:"object"`
	Reason string      `json:"reason"`
	Kind   PendingKind `json:"kind,omitempty"`
}

// PendingKind says what is to be done about a [Pending].
type PendingKind string

// The kinds of what is pending.
const (
	// Failing is tried again by the host until it works.
	Failing PendingKind = ""
	// Waiting is for something that somebody else has to make first.
	Waiting PendingKind = "waiting"
	// Noticed is wrong around an object that the host has realised: it is said
	// and holds nothing back, and the object stays in use.
	Noticed PendingKind = "noticed"
)

// HostObject names the host itself, where no smaller object is to blame.
const HostObject = "host"

// FirewallObject is what all filtering of a host rests on: where it fails, no
// port is filtered.
const FirewallObject = "firewall"

// PortObject names a port.
func PortObject(id ID) string { return "port/" + string(id) }

// NetworkObject names a network.
func NetworkObject(id ID) string { return "network/" + string(id) }
