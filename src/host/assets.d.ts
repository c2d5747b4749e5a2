/** A program that the build puts into the executable; its path there. */
declare module "*.elf" {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: how the bundler gives an asset's path
  export default path;
}
