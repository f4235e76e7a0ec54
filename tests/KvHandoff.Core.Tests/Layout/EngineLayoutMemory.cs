using KvHandoff.Layout;
using KvHandoff.Memory;

namespace KvHandoff.Core.Tests.Layout;

/// <summary>The tensors of an engine as its documentation has them: row-major, addressed by their own indices.</summary>
internal sealed class EngineLayoutMemory : IDisposable
{
    public const byte Poison = 0x5A;

    private readonly List<(NativeSlab Slab, int Offset, byte[] Image, int[] Shape)> _tensors = [];

    public EngineTensor Add(int elementBytes, params int[] shape)
    {
        int offset = 16 * _tensors.Count + 48, bytes = shape.Aggregate(elementBytes, (a, b) => a * b);
        NativeSlab slab = NativeSlab.Allocate(offset + bytes + 80);
        slab.Fill(Poison);
        var image = new byte[slab.LengthBytes];
        Array.Fill(image, Poison);
        _tensors.Add((slab, offset, image, shape));
        return new EngineTensor(slab, offset);
    }

    /// <summary>What the engine itself would write to element [indices] of a tensor.</summary>
    public void Write(int tensor, ReadOnlySpan<byte> element, params ReadOnlySpan<int> indices)
    {
        (_, int offset, byte[] image, int[] shape) = _tensors[tensor];
        Assert.Equal(shape.Length, indices.Length);
        long at = 0;
        for (int i = 0; i < shape.Length; i++)
        {
            Assert.InRange(indices[i], 0, shape[i] - 1);
            at = at * shape[i] + indices[i];
        }

        element.CopyTo(image.AsSpan(offset + (int)at * element.Length));
    }

    public void CopyToEngine()
    {
        foreach ((NativeSlab slab, _, byte[] image, _) in _tensors) image.CopyTo(slab.Span(0, image.Length));
    }

    public void PoisonEngine()
    {
        foreach ((NativeSlab slab, _, _, _) in _tensors) slab.Fill(Poison);
    }

    /// <summary>Every byte of every tensor, and of what lies around them, is what the engine would have written.</summary>
    public void Check(string what)
    {
        for (int i = 0; i < _tensors.Count; i++)
        {
            ReadOnlySpan<byte> found = _tensors[i].Slab.Span(0, _tensors[i].Image.Length);
            int at = found.CommonPrefixLength(_tensors[i].Image);
            if (at < found.Length) Assert.Fail($"{what}: byte {at - _tensors[i].Offset} of tensor {i} is 0x{found[at]:X2}, expected 0x{_tensors[i].Image[at]:X2}");
        }
    }

    public void Dispose()
    {
        foreach ((NativeSlab slab, _, _, _) in _tensors) slab.Dispose();
    }
}
