// Package eventlog is the log: one JetStream stream of batches in one total
// order, embedded in the process or on a NATS cluster, behind the same code.
//
// What it promises: a record whose done was called with nil is on disk (on a
// quorum in a cluster) and comes back from every Read, in order, once. A
// damaged, missing or cut-off batch is found and named (CorruptError), by
// readers, by a background scrub and at start; it is never passed over in
// silence, and the log never starts empty where it was not. When the disk is
// full or fails, events are refused at once and in words (ErrUnavailable); it
// mends itself when the disk does.
//
// JetStream alone does not promise all of that, so beside it stand: a chain of
// numbers and hashes through each writer's batches, a checkpoint file, a guard
// on free space, and a restart of the embedded server when it gives no answer.
package eventlog
