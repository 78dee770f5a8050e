// Package neutrino holds the nouns of OpenStack Networking: the one Go form
// that a network, a subnet, a port or a security group has on its whole way
// from the API through the store and the feed to the plan of a host.
//
// The package imports the standard library only. What an attribute is called
// on the wire and who may set it is written in the struct tags of the nouns,
// see [Attribute].
package neutrino
