using System.Runtime.InteropServices;

namespace KvHandoff.Bench.DecodeAttention;

/// <summary>How libtorch is asked, see <c>native/baselines/torch_baseline.h</c>.</summary>
internal enum TorchForm
{
    Bmm = 0,
    TransposedKeys = 1,
    Tiles = 2,
}

/// <summary>The library of <c>native/baselines</c>, where the environment names it. One thread at a time.</summary>
internal sealed unsafe class TorchBaseline
{
    /// <summary>The variable that holds the library's path.</summary>
    internal const string Variable = "KVHANDOFF_TORCH_BASELINE";

    private const int AbiVersion = 1;

    private readonly delegate* unmanaged<nint, nint, int, int, int, int, int, int, int, nint> _create;
    private readonly delegate* unmanaged<nint, float*, float*, int> _attend;
    private readonly delegate* unmanaged<nint, void> _destroy;
    private readonly delegate* unmanaged<nint> _error;

    private TorchBaseline(nint library)
    {
        _create = (delegate* unmanaged<nint, nint, int, int, int, int, int, int, int, nint>)NativeLibrary.GetExport(library, "kvhb_torch_create");
        _attend = (delegate* unmanaged<nint, float*, float*, int>)NativeLibrary.GetExport(library, "kvhb_torch_attend");
        _destroy = (delegate* unmanaged<nint, void>)NativeLibrary.GetExport(library, "kvhb_torch_destroy");
        _error = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "kvhb_torch_error");
        Version = Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "kvhb_torch_version"))()) ?? "libtorch";
    }

    /// <summary>Versions of libtorch and of its BLAS.</summary>
    internal string Version { get; }

    /// <summary>Loads the library; null with the reason where that is not possible.</summary>
    internal static TorchBaseline? TryLoad(out string? reason)
    {
        string? path = Environment.GetEnvironmentVariable(Variable);
        reason = null;
        if (string.IsNullOrEmpty(path)) reason = $"{Variable} is not set";
        else if (!NativeLibrary.TryLoad(path, out nint library)) reason = $"{Variable} names no library that can be loaded";
        else if (!NativeLibrary.TryGetExport(library, "kvhb_torch_abi_version", out nint version)) reason = $"{Variable} names a library of another kind";
        else if (((delegate* unmanaged<int>)version)() is var found && found != AbiVersion) reason = $"{Variable} names a library of version {found}; expected {AbiVersion}";
        else return new TorchBaseline(library);
        return null;
    }

    /// <summary>Prepares one form over rows <c>[kv head][token][element]</c>, which must outlive the step.</summary>
    /// <exception cref="InvalidDataException">libtorch refuses.</exception>
    internal Step Create(nint keys, nint values, AttentionShape shape, int tokens, bool isBFloat16, TorchForm form)
    {
        nint handle = _create(keys, values, shape.KvHeads, shape.QueryHeads, shape.RowElements, tokens, isBFloat16 ? 1 : 0, (int)form, 1);
        return handle != 0 ? new Step(this, handle, shape) : throw new InvalidDataException(Error());
    }

    private string Error() => $"libtorch: {Marshal.PtrToStringUTF8(_error())}";

    /// <summary>One decode step by libtorch on the calling thread.</summary>
    internal sealed class Step(TorchBaseline baseline, nint handle, AttentionShape shape) : IDisposable
    {
        private readonly float[] _query = AttentionStep.QueryOf(shape);

        /// <summary><c>[query head][element]</c>, of the last run.</summary>
        internal float[] Output { get; } = new float[shape.QueryHeads * shape.ValueElements];

        internal void Run()
        {
            fixed (float* query = _query, output = Output)
            {
                if (baseline._attend(handle, query, output) != 0) throw new InvalidDataException(baseline.Error());
            }
        }

        public void Dispose() => baseline._destroy(handle);
    }
}
