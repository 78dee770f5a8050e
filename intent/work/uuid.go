package work

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"neutrino"
)

// namespaceDNS is the namespace of domain names (RFC 9562, section 6.6).
const namespaceDNS = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

// NameID is the name-based version 5 UUID (RFC 9562, section 5.5) of a name in
// the namespace of domain names.
func NameID(name string) neutrino.ID {
	space, _ := hex.DecodeString(strings.ReplaceAll(namespaceDNS, "-", ""))
	sum := sha1.Sum(append(space, name...))
	// NewID sets the variant and version 4; only the version differs.
	id := []byte(neutrino.NewID([16]byte(sum[:16])))
	id[14] = '5'
	return neutrino.ID(id)
}

// AgentID is the ID of an agent. It is made of what the agent is, so that it
// stays when the agent is deleted and comes again.
func AgentID(agentType, host string) neutrino.ID {
	return NameID(strings.ReplaceAll(strings.ToLower(agentType), " ", "-") + "." + host)
}
