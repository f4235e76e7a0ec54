using System.Diagnostics;
using System.Runtime.InteropServices;
using KvHandoff.Native;

namespace KvHandoff.AbiBench;

/// <summary>What crossing the border costs: calls that do next to nothing, and small ones.</summary>
static unsafe class Calls
{
    const int Count = 2_000_000;

    internal static void Print()
    {
        var version = (delegate* unmanaged<int>)Library.Export("kvh_abi_version");
        var crc = (delegate* unmanaged<void*, long, uint*, int>)Library.Export("kvh_crc32c");
        // Captured by the loops, so behind pointers.
        long* data = (long*)NativeMemory.AllocZeroed(3, sizeof(long));
        uint* sum = (uint*)(data + 1), found = (uint*)(data + 2);
        var model = new KvhModel { StructSize = (uint)sizeof(KvhModel) };
        var group = new KvhGroup { StructSize = (uint)sizeof(KvhGroup), LayerCount = 1, KvHeads = 1, HeadDim = 16 };
        ulong layout;
        fixed (byte* name = "m\0"u8)
        {
            model.Name = model.Revision = name;
            Library.Check(((delegate* unmanaged<KvhModel*, KvhGroup*, int, ulong*, int>)Library.Export("kvh_layout_create"))(&model, &group, 1, &layout));
        }

        var steps = (delegate* unmanaged<ulong, uint*, int>)Library.Export("kvh_plan_steps");
        ulong made;
        Library.Check(((delegate* unmanaged<ulong, ulong, ulong*, int>)Library.Export("kvh_plan_create"))(layout, layout, &made));
        ulong plan = made;
        Console.WriteLine("| call | ns |");
        Row("kvh_abi_version, no handle", () => version());
        Row("kvh_plan_steps, handle looked up and pinned", () => steps(plan, found));
        Row("kvh_crc32c of 8 bytes", () => crc(data, 8, sum));
        NativeMemory.Free(data);
        Library.Close(plan);
        Library.Close(layout);
    }

    static void Row(string name, Action call)
    {
        for (int i = 0; i < Count / 4; i++) call();
        double best = double.MaxValue, empty = double.MaxValue;
        Action nothing = static () => { };
        for (int round = 0; round < 9; round++)
        {
            best = Math.Min(best, Time(call));
            empty = Math.Min(empty, Time(nothing));
        }

        Console.WriteLine($"| {name} | {(best - empty) / Count * 1e9:0.0} |");
    }

    static double Time(Action call)
    {
        long started = Stopwatch.GetTimestamp();
        for (int i = 0; i < Count; i++) call();
        return Stopwatch.GetElapsedTime(started).TotalSeconds;
    }
}
