package neutrino

// AddressScope is a set of subnet pools whose addresses are unambiguous among
// each other, so that they are routed without translation:
// /v2.0/address-scopes (api.md section 2.4). Routers keep packets of different
// scopes apart.
type AddressScope struct {
	ID        ID     `json:"id" api:"filter,sort"`
	Name      string `json:"name" api:"post,put,filter,sort,max=255"`
	ProjectID string `json:"project_id" api:"post,filter,sort,max=255"`
	Shared    bool   `json:"shared" api:"post,put,filter,sort"`
	IPVersion int    `json:"ip_version" api:"post,filter,sort,required,enum=4|6"`

	// Mark is the scope's mark on each host in a cloud that gave it one for all of
	// them, where it stays so that no connection changes its scope; 0 is none. See
	// [HostScope].
	Mark uint16 `json:"mark" api:"internal"`
}

// HostScope is an address scope on a host: the number that routers there mark the
// scope's packets with. It stays while the scope is used there, so that no connection
// that a router tracks changes its scope.
type HostScope struct {
	Host    string `json:"host"`
	ScopeID ID     `json:"scope_id"`
	Mark    uint16 `json:"mark"`
}

// The marks of address scopes (dataplane.md section 5.2). Neutron's agents
// choose below 2048; nothing in a packet's mark asks for that.
const (
	// UnknownScopeMark is of a scope that has no mark on the host: it is no other's.
	UnknownScopeMark uint16 = 1023

	NoScopeMark    uint16 = 1024 // the mark of networks without a scope
	FirstScopeMark uint16 = 1025
	LastScopeMark  uint16 = 65535
)
