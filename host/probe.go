package host

// ProbeKind is what a probe finds out about an address.
type ProbeKind string

// The kinds of probes.
const (
	// ProbeUnique asks whether somebody else has an address of ours (RFC 5227,
	// section 2; RFC 4862, section 5.4).
	ProbeUnique ProbeKind = "unique"
	// ProbeAnswers asks whether somebody has an address that we send by.
	ProbeAnswers ProbeKind = "answers"
)

// ProbeKey is an address on the link of a device, and what is asked of it.
type ProbeKey struct {
	NetNS, Device, Address string
	Kind                   ProbeKind
}

// Probe is a question that is put to the stations of a link again and again.
// It changes nothing on the host and nothing rests on it: what it finds is a
// [Finding].
type Probe struct {
	// From is the address of ours that asks, "" where none may be named.
	From string
	// Scope is what the device belongs to, "router/<id>".
	Scope string
	Why   Why
}

// Finding is something about an object that is wrong although the host is as
// planned. It is reported, and holds nothing back.
type Finding struct{ Object, Reason string }
