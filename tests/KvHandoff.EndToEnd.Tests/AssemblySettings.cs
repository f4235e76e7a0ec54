// Every test starts processes that measure or compute: side by side they would only slow each other down.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
