namespace KvHandoff.Codec;

public static partial class ExponentWindow
{
    /// <summary>Codes a fixed number of adjacent values of one row, a multiple of eight, with one instruction set.</summary>
    internal interface IWindowKernel
    {
        /// <summary>Values of one call; 0 says that there is no vector form.</summary>
        static abstract int Values { get; }

        /// <summary>Encodes; may write 64 bytes at <paramref name="escape"/> whatever it returns.</summary>
        /// <param name="source">The values, 2 bytes each.</param>
        /// <param name="bases">Base exponents of their channels.</param>
        /// <param name="largest">Raised to their exponents.</param>
        /// <param name="codes">Receives 3 bytes for every eight values.</param>
        /// <param name="signMantissa">Receives a byte for every value.</param>
        /// <param name="escape">Receives the escapes.</param>
        /// <param name="exponents">Room for the exponents of one call and one byte more.</param>
        /// <returns>Escapes.</returns>
        static abstract nuint Encode(
            ref byte source, ref byte bases, ref byte largest, ref byte codes, ref byte signMantissa, ref byte escape, ref byte exponents);

        /// <summary>Decodes; may read 64 bytes at <paramref name="escape"/>, and at <paramref name="codes"/> as far as the sign-mantissas go.</summary>
        /// <inheritdoc cref="Encode"/>
        static abstract nuint Decode(
            ref byte codes, ref byte signMantissa, ref byte bases, ref byte escape, ref byte destination);
    }

    /// <summary>No vectors: a call codes no values and so finds no escapes; every row takes the scalar form.</summary>
    internal readonly struct NoWindow : IWindowKernel
    {
        public static int Values => 0;

        public static nuint Encode(
            ref byte source, ref byte bases, ref byte largest, ref byte codes, ref byte signMantissa, ref byte escape, ref byte exponents) => 0;

        public static nuint Decode(
            ref byte codes, ref byte signMantissa, ref byte bases, ref byte escape, ref byte destination) => 0;
    }
}
