// Package openflow is the hand for OpenFlow flows: it reads the flows of Open
// vSwitch bridges and makes them as wanted, over OpenFlow 1.4 with the Nicira
// extensions on each bridge's management socket.
//
// A flow's cookie is a stamp of its content, taken after port names became
// port numbers: a flow whose port was plugged again under another number has
// the right text and the wrong stamp, and is written again.
//
// Text is compared in one canonical form, which this package gives to wanted
// flows ([Hand.Canonicalise]) and to flows that it reads from a switch.
package openflow
