package store

import "neutrino/store/engine"

// RequireNoNew makes the transaction hold only if no claim under the prefix was
// made after its snapshot, its own aside: whoever counted what is held there
// counted everything. What is released meanwhile is no hindrance.
func (tx *Tx) RequireNoNew(claimPrefix string) {
	tx.require(about{key: claimKey(claimPrefix)}, engine.Compare{Test: engine.RangeBefore, Rev: tx.snap.rev})
}
