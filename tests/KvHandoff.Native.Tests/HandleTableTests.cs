namespace KvHandoff.Native.Tests;

public sealed class HandleTableTests
{
    private sealed class NativeThing(params NativeObject[] parents) : NativeObject(parents)
    {
        internal int Freed;

        protected override void Free() => Interlocked.Increment(ref Freed);
    }

    private sealed class NativeOther : NativeObject
    {
        protected override void Free()
        {
        }
    }

    [Fact]
    public void A_handle_fits_nothing_after_its_object_was_closed()
    {
        var thing = new NativeThing();
        ulong handle = HandleTable.Add(thing);
        using (Pin<NativeThing> pin = HandleTable.Use<NativeThing>(handle)) Assert.Same(thing, pin.Target);
        Assert.Equal(Status.Ok, HandleTable.Close(handle));
        Assert.Equal(1, thing.Freed);
        Assert.Equal(Status.Handle, StatusOf(() => HandleTable.Use<NativeThing>(handle)));
        Assert.Equal(Status.Handle, StatusOf(() => HandleTable.Close(handle)));

        // The slot is taken again; the old handle still fits nothing.
        ulong next = HandleTable.Add(new NativeThing());
        Assert.NotEqual(handle, next);
        Assert.Null(HandleTable.Find(handle));
        HandleTable.Close(next);
    }

    [Fact]
    public void A_handle_of_another_kind_or_with_any_bit_changed_fits_nothing()
    {
        ulong handle = HandleTable.Add(new NativeThing());
        Assert.Equal(Status.Handle, StatusOf(() => HandleTable.Use<NativeOther>(handle)));
        for (int bit = 0; bit < 64; bit++) Assert.NotSame(HandleTable.Find(handle), HandleTable.Find(handle ^ (1ul << bit)));
        Assert.Equal(Status.Handle, StatusOf(() => HandleTable.Use<NativeThing>(0)));
        HandleTable.Close(handle);
    }

    [Fact]
    public void What_others_depend_on_stays_open_until_they_are_closed()
    {
        var parent = new NativeThing();
        ulong above = HandleTable.Add(parent), below = HandleTable.Add(new NativeThing(parent));
        Assert.Equal(Status.InUse, StatusOf(() => HandleTable.Close(above)));
        Assert.Equal(0, parent.Freed);
        HandleTable.Close(below);
        Assert.Equal(Status.Ok, HandleTable.Close(above));
        Assert.Equal(1, parent.Freed);
    }

    [Fact]
    public void Closing_waits_for_the_calls_that_are_inside_and_happens_once()
    {
        for (int round = 0; round < 200; round++)
        {
            var thing = new NativeThing();
            ulong handle = HandleTable.Add(thing);
            using var inside = new ManualResetEventSlim();
            int closed = 0, seenFreed = 0;
            var user = new Thread(() =>
            {
                using Pin<NativeThing> pin = HandleTable.Use<NativeThing>(handle);
                inside.Set();
                for (int i = 0; i < 50; i++) Thread.SpinWait(20);
                seenFreed = Volatile.Read(ref pin.Target.Freed);
            });
            Thread[] closers = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
            {
                inside.Wait();
                try
                {
                    if (HandleTable.Close(handle) == Status.Ok) Interlocked.Increment(ref closed);
                }
                catch (StatusException e)
                {
                    Assert.Equal(Status.Handle, e.Status);
                }
            }))];
            user.Start();
            foreach (Thread closer in closers) closer.Start();
            user.Join();
            foreach (Thread closer in closers) closer.Join();
            Assert.Equal((1, 1, 0), (closed, thing.Freed, seenFreed));
        }
    }

    private static int StatusOf(Action action)
    {
        try
        {
            action();
            return Status.Ok;
        }
        catch (StatusException e)
        {
            return e.Status;
        }
    }

    private delegate Pin<T> Enter<T>() where T : NativeObject;

    private static int StatusOf<T>(Enter<T> enter) where T : NativeObject => StatusOf(() => enter().Dispose());
}
